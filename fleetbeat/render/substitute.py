"""postBuild substitution: `${…}` in the YAML text of one object, with the shell's string operations.

    ${v}  ${v:-d} ${v:=d} ${v=d}  ${v:n} ${v:n:len}  ${#v}  ${v^} ${v^^} ${v,} ${v,,}
    ${v#p} ${v##p} ${v%p} ${v%%p}  ${v/p/r} ${v//p/r} ${v/#p/r} ${v/%p/r}

`$$` stands for `$`, so that `$${v}` stays as `${v}`; `$v` is left alone; expressions nest wherever a value is given.
The odd corners are those of Flux, because manifests rely on them: lengths and offsets count bytes, an offset that is
no number changes nothing, `${v=d}`, `${v:?d}` and `${v:+d}` are `${v:-d}`, a default that is not used must be defined
all the same, an operand other than a default is one text or one expression.

Owns the grammar and its limits. Knows nothing of objects; messages name variables and expressions, never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

from fleetbeat.errors import BuildFailed
from fleetbeat.render import glob

MAX_CHARACTERS = 8 * 1024 * 1024
"""Longest text that a substitution may make; no API server takes an object of that size."""
MAX_DEPTH = 32
"""Deepest nesting of expressions."""

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
_WORD = re.compile(r"\w+")
_NEXT = re.compile(r"\$\$|\$\{")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}\Z")


class Undefined(BuildFailed):
    """Variables that have neither a value nor a default."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        super().__init__(f"undefined in postBuild: {', '.join(f'${{{name}}}' for name in self.names)}")


def merge(sources: Iterable[Mapping[str, str]], inline: Mapping[str, str]) -> dict[str, str]:
    """Variables of `substituteFrom` in order (later wins), then of `substitute` (wins); newlines leave the values.

    A value that is no UTF-8 text may come with surrogate escapes; it fails the build only where it is used.
    Raises BuildFailed naming a variable that is no shell name.
    """
    variables: dict[str, str] = {}
    for source in (*sources, inline):
        for name, value in source.items():
            if not _NAME.match(name):
                raise BuildFailed(
                    f"postBuild: the variable name {name!r} is invalid; use letters, digits and _, and no digit first"
                )
            variables[name] = value.replace("\n", "")
    return variables


def substitute(text: str, variables: Mapping[str, str], strict: bool = True) -> str:
    """`text` with every expression replaced by its value.

    Raises BuildFailed naming the expression that cannot be parsed and, when strict, Undefined with all variables that
    are undefined and have no default.
    """
    parser = _Parser(text, variables)
    result = parser.run()
    if strict and parser.undefined:
        raise Undefined(parser.undefined)
    return result


class _Parser:
    """Evaluates while it reads; one use."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self.text = text
        self.variables = variables
        self.position = 0
        self.undefined: dict[str, None] = {}
        self._starts: list[int] = []

    def run(self) -> str:
        """The whole text."""
        parts: list[str] = []
        size = 0
        while match := _NEXT.search(self.text, self.position):
            parts.append(self.text[self.position : match.start()])
            self.position = match.end()
            parts.append("$" if match.group() == "$$" else self._expression())
            size += len(parts[-1]) + len(parts[-2])
            if size > MAX_CHARACTERS:
                raise BuildFailed(f"substitution makes more than {MAX_CHARACTERS} characters")
        parts.append(self.text[self.position :])
        return "".join(parts)

    def _expression(self) -> str:
        """What follows `${`, up to and with its `}`."""
        self._starts.append(self.position - 2)
        if len(self._starts) > MAX_DEPTH:
            self._fail(f"nests deeper than {MAX_DEPTH} levels")
        value = self._length() if self._take("#") else self._operation(self._name())
        if not self._take("}"):
            self._fail("has no closing brace where one must be")
        self._starts.pop()
        return value

    def _length(self) -> str:
        return str(len(self._value(self._name()).encode()))

    def _operation(self, name: str) -> str:
        if self._peek() == "}":
            return self._value(name)
        for operator in ("^^", "^", ",,", ","):
            if self._take(operator):
                return _change_case(self._value(name), operator)
        for operator in ("##", "#", "%%", "%"):
            if self._take(operator):
                return self._strip(name, operator)
        if self._take("/"):
            return self._replace(name)
        if any(self._take(operator) for operator in ("=", ":-", ":=", ":?", ":+")):
            return self._default(name)
        if self._take(":"):
            return self._slice(name)
        return self._fail("uses an operator that substitution does not have")

    def _default(self, name: str) -> str:
        parts: list[str] = []
        while self._peek() != "}":
            parts.append(self._operand("}"))
        return self._known(name) or "".join(parts)

    def _slice(self, name: str) -> str:
        value = self._value(name)
        offset = self._required("offset", ":}")
        size = None
        if self._takes(":"):
            size = self._required("length", "}")
        if not _NUMBER.match(offset) or not (size is None or _NUMBER.match(size)):
            return value
        if size is not None and int(size) < 0:
            self._fail("has a negative length")
        raw = value.encode()
        start = int(offset) if int(offset) >= 0 else max(0, len(raw) + int(offset))
        raw = raw[start:] if size is None else raw[start : start + int(size)]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._fail("cuts a character in two; offsets count bytes")

    def _strip(self, name: str, operator: str) -> str:
        value = self._value(name)
        strip = glob.strip_prefix if operator[0] == "#" else glob.strip_suffix
        try:
            return strip(value, self._required("pattern", "}"), longest=len(operator) == 2)
        except glob.PatternTooCostly:
            self._fail("has a pattern that is too long for its value")

    def _replace(self, name: str) -> str:
        value = self._value(name)
        where = next((one for one in "/#%" if self._take(one)), "")
        wanted = self._required("pattern", "/", escapes=True)
        if not self._takes("/"):
            self._fail("has no replacement; write ${name/pattern/replacement}")
        replacement = "" if self._peek() == "}" else self._operand("}", escapes=True)
        if where in ("#", "%"):
            return _replace_end(value, wanted, replacement, where)
        times = value.count(wanted) if where == "/" else 1
        if len(value) + times * len(replacement) > MAX_CHARACTERS:
            self._fail(f"makes more than {MAX_CHARACTERS} characters")
        return value.replace(wanted, replacement, times)

    def _operand(self, stops: str, *, escapes: bool = False) -> str:
        """One nested expression, or the text up to the next one or to one of the stops, which is left."""
        if self._take("${"):
            return self._expression()
        parts: list[str] = []
        while (character := self._peek()) not in stops and not self.text.startswith("${", self.position):
            if escapes and any(self._take(escaped) for escaped in ("$$", "\\/", "\\\\")):
                parts.append(self.text[self.position - 1])
            else:
                parts.append(character)
                self.position += 1
        return "".join(parts)

    def _required(self, what: str, stops: str, *, escapes: bool = False) -> str:
        start = self.position
        operand = self._operand(stops, escapes=escapes)
        if self.position == start:
            self._fail(f"has an empty {what}")
        return operand

    def _name(self) -> str:
        match = _WORD.match(self.text, self.position)
        if match is None:
            self._fail("does not begin with a variable name")
        self.position = match.end()
        return match.group()

    def _value(self, name: str) -> str:
        if name not in self.variables:
            self.undefined[name] = None
        return self._known(name)

    def _known(self, name: str) -> str:
        value = self.variables.get(name, "")
        try:
            value.encode()
        except UnicodeEncodeError:
            self._fail(f"uses {name}, whose value is not UTF-8 text")
        return value

    def _peek(self) -> str:
        if self.position >= len(self.text):
            self._fail("is not closed by a brace")
        return self.text[self.position]

    def _take(self, expected: str) -> bool:
        if self.text.startswith(expected, self.position):
            self.position += len(expected)
            return True
        return False

    def _takes(self, separator: str) -> bool:
        """Whether one or more separators come next; several count as one."""
        start = self.position
        while self._take(separator):
            pass
        return self.position > start

    def _fail(self, problem: str) -> NoReturn:
        """Name the outermost expression: that is what the user finds in the file."""
        start = self._starts[0] if self._starts else self.position
        shown = self.text[start : start + 60].partition("\n")[0]
        raise BuildFailed(f"the expression {shown!r} {problem}; write $${{…}} where the text itself is meant")


def _change_case(value: str, operator: str) -> str:
    change = _upper if operator[0] == "^" else str.lower
    if len(operator) == 2:
        return "".join(map(change, value))
    return change(value[:1]) + value[1:]


def _upper(character: str) -> str:
    """Upper case of one character where that is one character."""
    upper = character.upper()
    return upper if len(upper) == 1 else character


def _replace_end(value: str, wanted: str, replacement: str, where: str) -> str:
    """Replace at the start or the end; as in Flux, an empty replacement changes nothing there."""
    if not replacement:
        return value
    if where == "#" and value.startswith(wanted):
        return replacement + value[len(wanted) :]
    if where == "%" and value.endswith(wanted):
        return value[: len(value) - len(wanted)] + replacement
    return value
