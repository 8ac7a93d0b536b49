"""The part of a sweep that asks registries: one look for all OCIRepositories of one reference and equal accounts.

Whatever is not exactly as it was pokes the source, whose own run tells. Sources whose signatures are checked look for
themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import parse_duration
from fleetbeat.api.source import OCIRef, OCIRepositorySpec
from fleetbeat.errors import FleetbeatError, OCIPullFailed
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.ociaccess import access_of
from fleetbeat.reconcile.ocifacts import facts_of, same_facts
from fleetbeat.reconcile.sharedlook import Group
from fleetbeat.reconcile.sweepable import Known, known
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.oci.pick import pick
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.state import Look

LOOK_SECONDS = 15.0
"""For one look; a registry that takes longer is asked again by each source's own run, within its own timeout."""


class Way(NamedTuple):
    """All of a spec that decides how its registry is reached: equal ways make one access."""

    namespace: str
    repository: Repository
    spec: OCIRepositorySpec
    """Without the fields that have no say in it."""


class FollowedTag(NamedTuple):
    """An OCIRepository that only its registry can have changed."""

    ref: str
    known: Known
    way: Way
    picks: OCIRef | None
    revision: str
    seconds: float


class Asked(NamedTuple):
    """All that decides what a look finds: an access is equal in every part that a registry may see or prove."""

    repository: Repository
    access: Access
    picks: OCIRef | None
    seconds: float


@dataclass(frozen=True)
class Lookup(Group[FollowedTag]):
    """One look at what a reference names."""

    asked: Asked

    @property
    def host(self) -> str:
        """The registry."""
        return self.asked.repository.endpoint

    def look(self) -> dict[str, str]:
        """ref → why it needs a run."""
        repository, access, picks, seconds = self.asked
        until = Deadline.after(min(seconds, self.deadline.left()), OCIPullFailed)
        revision = pick(Registry(repository, access, until), picks).revision
        return {s.ref: f"the registry has {revision}" for s in self.sources if s.revision != revision}


def read_oci(ctx: Context, look: Look, memo: bytes | None, record: bytes | None) -> FollowedTag | str:
    """An OCIRepository as its registry may confirm it, or why it needs a run whatever its registry says."""
    found = known(ctx, look, memo, record)
    if isinstance(found, str):
        return found
    spec: OCIRepositorySpec = decode_spec(KINDS["OCIRepository"], found.obj)
    if spec.verify is not None:
        return "its signatures are its own to check"
    if not same_facts(found.status, facts_of(spec)):
        return "its artifact was made with other settings"
    way = Way(found.ref.namespace, Repository.parse(spec.url), _reaching(spec))
    return FollowedTag(
        look.ref, found, way, spec.ref, found.artifact["revision"], min(LOOK_SECONDS, parse_duration(spec.timeout))
    )


def _reaching(spec: OCIRepositorySpec) -> OCIRepositorySpec:
    return msgspec.structs.replace(spec, interval="", url="", ignore=None, layer_selector=None, ref=None, timeout="")


def lookups_of(
    ctx: Context, pool: ThreadPoolExecutor, sources: Sequence[FollowedTag], deadline: Deadline
) -> tuple[list[Lookup], dict[str, str]]:
    """The looks that serve all of them, and why some need a run whatever their registry says."""
    ways = list(dict.fromkeys(source.way for source in sources))
    accesses = dict(zip(ways, pool.map(partial(_access, ctx, deadline), ways), strict=True))
    groups: dict[Asked, list[FollowedTag]] = defaultdict(list)
    lost: dict[str, str] = {}
    for source in sources:
        access = accesses[source.way]
        if isinstance(access, str):
            lost[source.ref] = access
        else:
            groups[Asked(source.way.repository, access, source.picks, source.seconds)].append(source)
    return [Lookup(members, deadline, asked) for asked, members in groups.items()], lost


def _access(ctx: Context, deadline: Deadline, way: Way) -> Access | str:
    """How the registry is reached, or why it is not."""
    try:
        until = Deadline.after(min(LOOK_SECONDS, deadline.left()), OCIPullFailed)
        return access_of(ctx, way.namespace, way.spec, way.repository, until)
    except FleetbeatError as error:
        return error.message[:200]
