"""`spec.include` of a GitRepository: which artifacts are copied in, as the registry knows them now.

Owns finding them and refusing what would never come to rest. A source that includes another is poked when that one
publishes, so two that include each other take each other's last artifact and settle, as long as neither takes back what
it gave: then each run would wrap the other's content once more. Reads the registry only; bytes come later, from the
store, and only for a new archive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref
from fleetbeat.api.source import GitInclude, GitRepositorySpec
from fleetbeat.errors import (
    FleetbeatError,
    IncludeCycle,
    IncludeNotFound,
    IncludeWithoutArtifact,
    InvalidSpec,
)
from fleetbeat.reconcile.consumed import artifact_file, is_ours
from fleetbeat.reconcile.context import Context
from fleetbeat.sources.git import Included
from fleetbeat.sources.git.plan import Include, includes_of
from fleetbeat.state import Look

PAUSE = 30.0
"""Seconds until the next look at an included source that is not usable; it wakes us itself when it has published."""
_CHAIN = 32
_PRIVATE = ("fence", "uid", "key")
"""What a record says besides the artifact's own fields."""

Includes = Callable[[str], Sequence[Include]]
"""Name of a GitRepository → what it includes."""


class Copied(NamedTuple):
    """One included artifact: as the status tells it, and for the fetch."""

    artifact: dict[str, Any]
    included: Included


def resolve(ctx: Context, ref: Ref, spec: GitRepositorySpec) -> list[Copied]:
    """The artifacts of `spec.include` in its order; IncludeUnavailable or InvalidSpec when one cannot be used."""
    wanted = includes_of(spec.include)
    if any(include.repository == ref.name for include in wanted):
        raise InvalidSpec(f"spec.include: a GitRepository cannot include itself; remove {ref.name!r}")
    names = [str(_ref(ref, include.repository)) for include in wanted]
    records, known = ctx.state.artifacts(names), ctx.state.looks(names)
    found = [_copied(ctx, name, records[name], known=name in known) for name in names]
    refuse_cycle(ref.name, _reader(ctx, ref, wanted, known))
    return found


def digests(ctx: Context, ref: Ref, entries: Sequence[GitInclude]) -> list[str]:
    """Of the artifacts that are published now; empty where there is none."""
    records = ctx.state.artifacts([str(_ref(ref, entry.repository.name)) for entry in entries])
    found = (records[str(_ref(ref, entry.repository.name))] for entry in entries)
    return [msgspec.json.decode(record)["digest"] if record else "" for record in found]


def _ref(ref: Ref, name: str) -> Ref:
    return Ref(ref.kind, ref.namespace, name)


def _copied(ctx: Context, name: str, encoded: bytes | None, *, known: bool) -> Copied:
    """`known`: the hub has the resource, as far as it is ours to reconcile."""
    record: dict[str, Any] = msgspec.json.decode(encoded or b"{}")
    if not known and (not record or is_ours(record)):
        raise IncludeNotFound(f"spec.include: {name} does not exist", retry_after=PAUSE)
    if not record:
        raise IncludeWithoutArtifact(f"spec.include: {name} has no artifact yet", retry_after=PAUSE)
    artifact = {field: value for field, value in record.items() if field not in _PRIVATE}
    return Copied(artifact, Included(record["digest"], partial(artifact_file, ctx, record)))


def _reader(ctx: Context, ref: Ref, wanted: Sequence[Include], looks: Mapping[str, Look]) -> Includes:
    """What each GitRepository of the namespace includes; none where it is not known or makes no sense."""
    known: dict[str, Sequence[Include]] = {ref.name: wanted}

    def read(name: str) -> Sequence[Include]:
        if name not in known:
            full = _ref(ref, name)
            known[name] = _includes(full, looks.get(str(full)) or ctx.state.look(str(full)))
        return known[name]

    return read


def _includes(ref: Ref, found: Look | None) -> Sequence[Include]:
    if found is None:
        return ()
    try:
        spec: GitRepositorySpec = decode_spec(KINDS[ref.kind], found.obj)
        return includes_of(spec.include)
    except FleetbeatError:
        return ()


def refuse_cycle(me: str, includes: Includes) -> None:
    """Raises IncludeCycle when a directory of `me` is, through whatever others, to contain itself."""
    done: set[tuple[str, str]] = set()

    def visit(name: str, path: str, trail: tuple[tuple[str, str], ...]) -> None:
        place = (name, path)
        if place in trail or len(trail) > _CHAIN:
            chain = " includes ".join(one for one, _ in (*trail, place))
            raise IncludeCycle(
                f"spec.include: the content would contain itself ({chain}); remove one of these, or take only some"
                " directory by fromPath",
                retry_after=PAUSE,
            )
        if place in done:
            return
        for include in includes(name):
            inner = _taken(include, path)
            if inner is not None:
                visit(include.repository, inner, (*trail, place))
        done.add(place)

    visit(me, "", ())


def _taken(include: Include, path: str) -> str | None:
    """Which directory of the included source lies at `path` (empty: anywhere); None when nothing of it does."""
    target, source = include.target, include.source
    if not path or target == path or target.startswith(f"{path}/"):
        return source
    if not target or path.startswith(f"{target}/"):
        inner = path[len(target) :].strip("/")
        return f"{source}/{inner}".strip("/")
    return None
