"""Shell patterns for stripping a prefix or a suffix from a value: `*`, `?`, `[a-z]`, `[^a-z]`, `\\` before any of them.

The odd corners are those of Flux: an empty match is none, a suffix is matched by the pattern read backwards (so that
classes and `\\` do not work there), `]` and `-` stand in a class only behind `\\`.

Manifests come from tenants, so a pattern must not be able to stall a worker: it is run as an automaton, in time
proportional to the length of the text times that of the pattern, never by backtracking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Matcher = Callable[[str], bool]
STAR: None = None
"""Stands for `*` among the matchers of one character each."""

MAX_WORK = 20_000_000
"""Characters times pattern elements; more than any real value needs, seconds at worst."""


class PatternTooCostly(ValueError):
    """The value and the pattern are too long together."""


def parse(pattern: str) -> list[Matcher | None]:
    """The elements of a pattern; raises ValueError on an unclosed `[` or a `\\` at the end."""
    elements: list[Matcher | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            elements.append(STAR)
        elif character == "?":
            elements.append(lambda _: True)
        elif character == "[":
            elements.append(_character_class(characters))
        elif character == "\\":
            elements.append(_exactly(_next(characters)))
        else:
            elements.append(_exactly(character))
    return elements


def _next(characters: Iterator[str]) -> str:
    try:
        return next(characters)
    except StopIteration:
        raise ValueError("the pattern ends too early") from None


def _exactly(wanted: str) -> Matcher:
    return lambda character: character == wanted


def _character_class(characters: Iterator[str]) -> Matcher:
    ranges: list[tuple[str, str]] = []
    character = _next(characters)
    negated = character == "^"
    if negated:
        character = _next(characters)
    while character != "]" or not ranges:
        low, high = _class_member(character, characters), ""
        character = _next(characters)
        if character == "-":
            high = _class_member(_next(characters), characters)
            character = _next(characters)
        ranges.append((low, high or low))
    return lambda one: any(low <= one <= high for low, high in ranges) != negated


def _class_member(character: str, rest: Iterator[str]) -> str:
    if character in "-]":
        raise ValueError("a class holds this character only behind a backslash")
    return _next(rest) if character == "\\" else character


def matching_prefix(elements: list[Matcher | None], text: str, *, longest: bool) -> int | None:
    """The length of the shortest or longest prefix, at least 1, that the pattern matches whole; None: there is none."""
    if len(elements) * len(text) > MAX_WORK:
        raise PatternTooCostly
    end = len(elements)
    states = _skip_stars({0}, elements)
    found: int | None = None
    for position, character in enumerate(text, start=1):
        if not states or (found is not None and not longest):
            break
        states = _skip_stars(_advance(states, elements, character), elements)
        if end in states:
            found = position
    return found


def _advance(states: set[int], elements: list[Matcher | None], character: str) -> set[int]:
    reached: set[int] = set()
    for state in states:
        if state == len(elements):
            continue
        matcher = elements[state]
        if matcher is STAR:
            reached.add(state)
        elif matcher(character):
            reached.add(state + 1)
    return reached


def _skip_stars(states: set[int], elements: list[Matcher | None]) -> set[int]:
    """Stars may match nothing."""
    reached = set(states)
    for state in states:
        following = state
        while following < len(elements) and elements[following] is STAR:
            following += 1
            reached.add(following)
    return reached


def strip_prefix(text: str, pattern: str, *, longest: bool) -> str:
    """`text` without the prefix that matches; a malformed pattern matches nothing."""
    try:
        length = matching_prefix(parse(pattern), text, longest=longest)
    except PatternTooCostly:
        raise
    except ValueError:
        return text
    return text if length is None else text[length:]


def strip_suffix(text: str, pattern: str, *, longest: bool) -> str:
    """`text` without the suffix that matches; a malformed pattern matches nothing."""
    try:
        length = matching_prefix(parse(pattern[::-1]), text[::-1], longest=longest)
    except PatternTooCostly:
        raise
    except ValueError:
        return text
    return text if length is None else text[: len(text) - length]
