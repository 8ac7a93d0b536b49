"""From the references that a server lists to the commit that a GitRepository follows, and to its revision string.

Owns which references to ask for and how to choose among the answers. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from semantic_version import Version

from fleetbeat.errors import GitOperationFailed
from fleetbeat.sources import semver
from fleetbeat.sources.git.plan import Follow, Target

TAGS = "refs/tags/"
_HEADS, _PEELED = "refs/heads/", "^{}"

Refs = Mapping[str, str]
"""Reference → object id; an annotated tag has a second entry, `<name>^{}`, with the commit that it points to."""


@dataclass(frozen=True)
class Candidate:
    """A commit that could be meant: `want` is the object to ask the server for (a tag object, or the commit)."""

    revision: str
    commit: str
    want: str
    name: str = ""
    """Full name of the reference; empty for a fixed commit."""


def packed(found: Mapping[str, str]) -> bytes:
    """References as they are kept in a file; their names need not be text."""
    return b"".join(f"{value} {name}\n".encode("utf-8", "surrogateescape") for name, value in found.items())


def unpacked(data: bytes) -> dict[str, str]:
    """What was `packed`."""
    rows = (line.partition(" ") for line in data.decode("utf-8", "surrogateescape").split("\n") if line)
    return {name: value for value, _, name in rows}


def prefixes(target: Target) -> tuple[str, ...]:
    """What to ask the server for; nothing when the target is a commit."""
    match target.follow:
        case Follow.COMMIT:
            return ()
        case Follow.NAME:
            return (target.value,)
        case Follow.TAG:
            return (TAGS + target.value,)
        case Follow.SEMVER:
            return (TAGS,)
        case Follow.BRANCH:
            return (_HEADS + target.value,)


def of_commit(target: Target) -> Candidate:
    """The one candidate of a target that is a commit; needs no server."""
    label = f"{target.branch}@" if target.branch else ""
    return Candidate(f"{label}sha1:{target.value}", target.value, target.value)


def choose(target: Target, refs: Refs) -> list[Candidate]:
    """The commits that `target` means. More than one only for versions that differ in build metadata alone: the
    newest commit is meant. Raises GitOperationFailed, naming the reference, when there is none."""
    match target.follow:
        case Follow.COMMIT:
            return [of_commit(target)]
        case Follow.SEMVER:
            return _highest(target.value, refs)
        case _:
            name = prefixes(target)[0]
            if name not in refs:
                kind = "reference" if target.follow is Follow.NAME else target.follow.value
                raise GitOperationFailed(f"the repository has no {kind} {target.value!r}")
            return [_candidate(name if target.follow is Follow.NAME else target.value, name, refs)]


def _candidate(label: str, name: str, refs: Refs) -> Candidate:
    commit = refs.get(name + _PEELED, refs[name])
    return Candidate(f"{label}@sha1:{commit}", commit, refs[name], name)


def _highest(text: str, refs: Refs) -> list[Candidate]:
    allowed = semver.Range(text, "spec.ref.semver")
    versions: dict[str, Version] = {}
    for name in refs:
        version = None if name.endswith(_PEELED) else semver.parse_version(name.removeprefix(TAGS))
        if version is not None and version in allowed:
            versions[name] = version
    if not versions:
        raise GitOperationFailed(f"no tag of the repository is a version in the range {text!r}")
    best = max(semver.precedence(version) for version in versions.values())
    ties = sorted(name for name, version in versions.items() if semver.precedence(version) == best)
    return [_candidate(name.removeprefix(TAGS), name, refs) for name in ties]
