"""Keeps the registry equal to the hub: every owned custom resource, and what each refers to.

One process does it at a time, behind the role `registrar`. A tenure takes a standing registry over where there is one;
when Redis was wiped, restarted or restored it makes a new epoch: clear, list everything, commit. Reconciles nothing.

Sources that others reconcile are watched as well (foreign.py), for the artifacts that they offer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from fleetbeat.api.kinds import KINDS, OWNED_BY_DEFAULT, Kind
from fleetbeat.artifacts.settings import StoreSettings
from fleetbeat.artifacts.store import ArtifactStore
from fleetbeat.errors import Rebuilding
from fleetbeat.hub.configs import PATHS, ConfigKind, Pokes
from fleetbeat.hub.finalizers import Finalizers
from fleetbeat.hub.foreign import OFFERED, ForeignKind, kinds_of_others
from fleetbeat.hub.interest import Interest
from fleetbeat.hub.journal import Forget, HubWentBack, Journal, Tell
from fleetbeat.hub.owned import OwnedKind
from fleetbeat.hub.role import HUB_PAUSE, Tenure, hold, plain
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.watch import Session, Watch, session
from fleetbeat.state import REGISTRAR, State

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
GUARD_EVERY = 1.0
"""Seconds between looks whether the epoch still stands: how fast a wiped Redis is noticed."""


async def run(
    config: ClusterConfig, state: State, owned: Iterable[str] = OWNED_BY_DEFAULT, artifact_prefix: str = ""
) -> None:
    """Register for ever, whenever this process holds the role; ends cleanly when cancelled.

    artifact_prefix: what the keys of artifacts in S3 begin with.
    """
    kinds = [KINDS[name] for name in owned if name not in OFFERED]
    client = KubeClient(config, timeout=REQUEST_SECONDS, longest_break=HUB_PAUSE)
    anew = False

    async def duty(tenure: Tenure) -> None:
        nonlocal anew
        rebuild, anew = anew or await asyncio.to_thread(state.rebuilding), False
        try:
            await Registrar(client, state, kinds, tenure, artifact_prefix).work(rebuild=rebuild)
        except HubWentBack:
            anew = True
            raise

    try:
        await hold(state, REGISTRAR, duty)
    finally:
        client.close()


class Registrar:
    """One tenure of the role."""

    def __init__(
        self, client: KubeClient, state: State, kinds: Sequence[Kind], tenure: Tenure, artifact_prefix: str
    ) -> None:
        self._client = client
        self._state = state
        self._kinds = kinds
        self._fence = tenure.fence
        self._artifact_prefix = artifact_prefix
        self._interest = Interest()
        self._journal = Journal(state, tenure.fence)
        self._pokes = Pokes(state, self._interest)

    async def work(self, *, rebuild: bool) -> None:
        """Until cancelled; raises Rebuilding when this epoch ended, StateUnavailable, LostLease or HubWentBack."""
        known = await asyncio.to_thread(self._begin if rebuild else self._state.known)
        finalizers = Finalizers(self._client)
        self._disown(known)
        owned = [self._owned(kind, finalizers, known) for kind in self._kinds]
        others = await self._others(rebuild=rebuild)
        try:
            async with session(self._client.config) as http, asyncio.TaskGroup() as group:
                group.create_task(self._journal.run())
                watches = [*(_watch(http, kind) for kind in owned), *(_foreign_watch(http, kind) for kind in others)]
                for watch in (*self._config_watches(http), *watches):
                    group.create_task(watch.run())
                await self._complete([*owned, *others], rebuild=rebuild)
                group.create_task(self._pokes.run())
                group.create_task(self._guard())
        except ExceptionGroup as errors:
            raise plain(errors) from None
        finally:
            finalizers.close()

    def _begin(self) -> dict[str, str]:
        log.info("the registry is made anew from the hub")
        self._state.begin_epoch(self._fence)
        return {}

    def _owned(self, kind: Kind, finalizers: Finalizers, known: dict[str, str]) -> OwnedKind:
        mine = {ref: uid for ref, uid in known.items() if ref.startswith(f"{kind.name}/")}
        return OwnedKind(kind, self._journal, finalizers, self._interest, mine, self._artifact_prefix, self._pokes.stir)

    def _disown(self, known: dict[str, str]) -> None:
        """Resources of a kind that was handed over to another controller are its business now."""
        names = {kind.name for kind in self._kinds}
        for ref, uid in known.items():
            if ref.partition("/")[0] not in names:
                self._journal.add(Forget(ref, uid))

    async def _others(self, *, rebuild: bool) -> list[ForeignKind]:
        known = set() if rebuild else await asyncio.to_thread(self._state.offered)
        store = ArtifactStore(StoreSettings(bucket="", prefix=self._artifact_prefix))
        kinds = kinds_of_others([kind.name for kind in self._kinds])
        return [ForeignKind(kind, self._journal, known, store) for kind in kinds]

    def _config_watches(self, http: Session) -> list[Watch]:
        kinds = {kind: ConfigKind(kind, self._pokes) for kind in PATHS}
        return [
            Watch(http, PATHS[kind], callbacks.on_list, callbacks.on_event, True, "", callbacks.on_error, HUB_PAUSE)
            for kind, callbacks in kinds.items()
        ]

    async def _complete(self, kinds: Sequence[OwnedKind | ForeignKind], *, rebuild: bool) -> None:
        """Everything listed and written; a new epoch is committed, in a standing one missed changes are made up for."""
        for kind in kinds:
            await kind.listed.wait()
        await self._journal.flush()
        if rebuild:
            epoch = await asyncio.to_thread(self._state.commit_epoch, self._fence)
            log.info("the registry is complete: epoch %s", epoch)
        self._journal.add(Tell())
        if rebuild:
            return
        for target in self._interest:
            self._pokes.add(target)  # nobody watched it while no registrar was there

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(GUARD_EVERY)
            if await asyncio.to_thread(self._state.rebuilding):
                raise Rebuilding


def _watch(http: Session, kind: OwnedKind) -> Watch:
    return Watch(http, kind.kind.path(), kind.on_list, kind.on_event, on_error=kind.on_error, longest_backoff=HUB_PAUSE)


def _foreign_watch(http: Session, kind: ForeignKind) -> Watch:
    return Watch(http, kind.kind.path(), kind.on_list, kind.on_event, on_error=kind.on_error)
