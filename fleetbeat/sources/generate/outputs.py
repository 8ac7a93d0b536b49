"""Which artifacts a generator declares: as they stand there, or once for every directory that its path pattern finds.

Owns the checks of a spec that the schema cannot make, and the captures `{name}`: as they are in paths, in lower case in
names and labels. Everything wrong here is for a person to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from fleetbeat.api.source_extensions import ArtifactGeneratorSpec, CopyOperation, OutputArtifact
from fleetbeat.errors import InvalidSpec
from fleetbeat.sources.generate.copying import split
from fleetbeat.sources.generate.tree import ROOT, Tree

MAX_OUTPUTS = 1000
"""Artifacts of one generator."""
_CAPTURE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True)
class Output:
    """One artifact to make."""

    name: str
    copy: tuple[CopyOperation, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    """The captures."""
    revision: str = ""
    """Alias of the source whose revision it takes; empty: one made of its content."""
    origin: str = ""
    """Alias of the source whose origin it tells."""


def check(spec: ArtifactGeneratorSpec) -> None:
    """Raises InvalidSpec on names that occur twice or that nothing bears."""
    aliases = [source.alias for source in spec.sources]
    _refuse_twice("spec.sources: the alias", aliases)
    _refuse_twice("spec.artifacts: the name", [artifact.name for artifact in spec.artifacts])
    for artifact in spec.artifacts:
        for named in (artifact.revision, artifact.origin_revision):
            _require(named.removeprefix("@") if named else "", aliases, artifact.name)
        for operation in artifact.copy:
            _require(split(operation.from_)[0], aliases, artifact.name)
    if spec.path_pattern:
        _require(split(spec.path_pattern)[0], aliases, "spec.pathPattern")


def outputs(spec: ArtifactGeneratorSpec, sources: Mapping[str, Tree]) -> list[Output]:
    """What is to be made, in the order of the spec and of the directories; raises InvalidSpec."""
    if not spec.path_pattern:
        return [_rendered(artifact, {}, templates=False) for artifact in spec.artifacts]
    alias, pattern = split(spec.path_pattern)
    found: dict[str, str] = {}
    made: list[Output] = []
    for folder, captures in _directories(sources[alias], pattern):
        for artifact in spec.artifacts:
            output = _rendered(artifact, captures, templates=True)
            if output.name in found:
                raise InvalidSpec(
                    f"spec.pathPattern: {found[output.name]!r} and {folder!r} both make an artifact {output.name!r}"
                )
            found[output.name] = folder
            made.append(output)
    if len(made) > MAX_OUTPUTS:
        raise InvalidSpec(f"spec.pathPattern makes {len(made)} artifacts, more than {MAX_OUTPUTS}; narrow it")
    return made


def _directories(source: Tree, pattern: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every directory that fits, and its captures."""
    expression = _expression(pattern)
    for folder in sorted(source.folders - {ROOT}):
        match = expression.fullmatch(folder)
        if match is not None:
            yield folder, match.groupdict()


def _expression(pattern: str) -> re.Pattern[str]:
    names = _CAPTURE.findall(pattern)
    if re.search(r"[{}]", _CAPTURE.sub("", pattern)):
        raise InvalidSpec(f"spec.pathPattern {pattern!r}: a brace has no counterpart")
    for name in names:
        if not _NAME.fullmatch(name) or name.endswith("_") or name.startswith("_") or len(name) > 63:
            raise InvalidSpec(f"spec.pathPattern: the capture {{{name}}} cannot be the key of a label")
    _refuse_twice("spec.pathPattern: the capture", names)
    parts = _CAPTURE.split(pattern.strip("/"))
    return re.compile("".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts)))


def _rendered(artifact: OutputArtifact, captures: Mapping[str, str], *, templates: bool) -> Output:
    labels = {key: value.lower() for key, value in captures.items()}
    for key, value in labels.items():
        if not _VALUE.fullmatch(value):
            raise InvalidSpec(f"spec.pathPattern: {value[:100]!r}, found for {{{key}}}, cannot be the value of a label")
    name, copy = artifact.name, artifact.copy
    if templates:
        name = _filled(name, labels)
        copy = tuple(
            msgspec.structs.replace(
                operation, from_=_filled(operation.from_, captures), to=_filled(operation.to, captures)
            )
            for operation in copy
        )
    if not _OBJECT.fullmatch(name) or len(name) > 253:
        raise InvalidSpec(f"spec.artifacts: {name[:253]!r} is not the name of a Kubernetes object")
    revision, origin = ((text or "").removeprefix("@") for text in (artifact.revision, artifact.origin_revision))
    return Output(name, copy, labels, revision, origin)


def _filled(template: str, captures: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in captures:
            raise InvalidSpec(f"{template[:200]!r}: spec.pathPattern has no capture {{{match[1]}}}")
        return captures[match[1]]

    return _CAPTURE.sub(value, template)


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidSpec(f"{what} {name!r} occurs twice")
        seen.add(name)


def _require(alias: str, aliases: Iterable[str], where: str) -> None:
    if alias and alias not in aliases:
        raise InvalidSpec(f"{where}: no source has the alias {alias!r}; add it to spec.sources")
