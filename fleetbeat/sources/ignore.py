r"""Which files of a tree stay out of the artifact: gitignore patterns with Flux's rules about defaults and levels.

Owns the pattern language and the order of the rules: version-control files first, then `.sourceignore` of each
directory from the root downwards, then `spec.ignore`. While neither of the two gives a single pattern, a list of
default exclusions applies. The last pattern that matches a path *or one of its parents* decides, for each file alone;
so, unlike in Git, `!/deploy/keep.yaml` brings a file back from an excluded directory.

Patterns may come from a hostile repository: each becomes a regular expression without nested backtracking, because
after a `*` (or `**`) the leftmost match of the literal that follows is always good enough and is taken for good.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FILE_NAME = ".sourceignore"
_VERSION_CONTROL = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
_DEFAULTS = (
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml"),
    *("cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml"),
    *("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml"),
)


@dataclass(frozen=True)
class Pattern:
    """One line of an ignore file; `domain` is the directory that it is relative to, `""` or ending in `/`."""

    regex: str
    include: bool
    domain: str


class Rules:
    """A list of patterns, ready to be asked about thousands of paths."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        grouped = itertools.groupby(patterns, key=lambda pattern: (pattern.include, pattern.domain))
        self._groups = [
            (include, domain, re.compile("|".join(pattern.regex for pattern in group), re.DOTALL))
            for (include, domain), group in grouped
        ][::-1]
        self.only_excludes = not any(include for include, _, _ in self._groups)
        """Whether nothing below an excluded directory can come back, so that it need not be visited."""

    def excludes(self, path: str, *, directory: bool = False) -> bool:
        """Whether the relative, `/`-separated path stays out."""
        subject = f"{path}/" if directory else path
        for include, domain, regex in self._groups:
            if subject.startswith(domain) and regex.match(subject, len(domain)):
                return not include
        return False


def rules(custom: Iterable[Pattern]) -> Rules:
    """The rules of a Git or OCI source: `custom` in order of rising precedence, or the defaults if there are none."""
    chosen = list(custom) or [pattern for line in _DEFAULTS for pattern in _parse(line, "")]
    return Rules([*(pattern for line in _VERSION_CONTROL for pattern in _parse(line, "")), *chosen])


def parse(text: str, domain: str = "") -> list[Pattern]:
    """Read an ignore file of the directory `domain` (`""` or ending in `/`); invalid patterns match nothing."""
    return [pattern for line in text.splitlines() for pattern in _parse(line, domain)]


def _parse(line: str, domain: str) -> Iterator[Pattern]:
    if line.startswith("#") or not line.strip():
        return
    include = line.startswith("!")
    glob = line[1:] if include else line
    if not glob.endswith("\\ "):
        glob = glob.rstrip(" ")
    regex = _path_regex(glob)
    if regex is not None:
        yield Pattern(regex, include, domain)


def _path_regex(glob: str) -> str | None:
    """A regular expression for the paths at or below what `glob` names; directories end in `/`."""
    only_directories = glob.endswith("/")
    anchored = "/" in glob.rstrip("/")
    segments = [segment for segment in glob.split("/") if segment]
    if not segments:
        return None
    if not anchored:
        segments.insert(0, "**")
    contents_only = segments[-1] == "**" and len(segments) > 1
    runs = [list(run) for wild, run in itertools.groupby(segments, key=lambda segment: segment == "**") if not wild]
    translated = [[_segment_regex(segment) for segment in run] for run in runs]
    if any(regex is None for run in translated for regex in run):
        return None
    if contents_only:
        end = "/[^/]+/" if only_directories else "/."
    else:
        end = "/" if only_directories else "(?:/|\\Z)"
    parts = ["/".join(filter(None, run)) for run in translated]
    if not parts:
        return ".*/" if only_directories else "."
    leading = segments[0] == "**"
    return "".join(
        f"(?>{'(?:[^/]+/)*?' if index or leading else ''}{part}{'/' if index < len(parts) - 1 else end})"
        for index, part in enumerate(parts)
    )


_CLASS = re.compile(r"\[([!^]?)(\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)


def _segment_regex(glob: str) -> str | None:
    """One path segment; None when it cannot match anything, such as an unclosed `[`."""
    pieces = [""]
    position = 0
    while position < len(glob):
        character = glob[position]
        position += 1
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif character == "[":
            found = _CLASS.match(glob, position - 1)
            if found is None:
                return None
            position = found.end()
            pieces[-1] += _class_regex(found)
        else:
            if character == "\\" and position < len(glob):
                character = glob[position]
                position += 1
            pieces[-1] += re.escape(character)
    regex = pieces[0] + "".join(f"(?>[^/]*?{piece})" for piece in pieces[1:-1] if piece)
    regex += f"[^/]*{pieces[-1]}" if len(pieces) > 1 else ""
    return regex if "[" not in glob or _compiles(regex) else None


def _class_regex(found: re.Match[str]) -> str:
    negated, body = found.groups()
    safe = re.sub(r"\\?(.)", lambda char: char[1] if char[0] == "-" else re.escape(char[1]), body, flags=re.DOTALL)
    return f"(?!/)[{'^' if negated else ''}{safe}]"


def _compiles(regex: str) -> bool:
    try:
        re.compile(regex)
    except re.error:
        return False
    return True
