"""What the last runs left on which cluster, as their memos say: the kinds to watch and the objects to expect.

Reads Redis; blocking, so it is called in threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fleetbeat.api.refs import HUB
from fleetbeat.errors import Rebuilding
from fleetbeat.hub.memo import Kind, Memo, read
from fleetbeat.state import State
from fleetbeat.state.shards import APPLY, shard_of

CHUNK = 500


class Inventory:
    """Reads over all memos."""

    def __init__(self, state: State) -> None:
        self._state = state

    def stamp(self) -> bytes:
        """Changes whenever a run left something new behind; cheap."""
        return bytes(self._state.command("GET", "fb:seq") or b"")

    def kinds(self) -> dict[str, set[Kind]]:
        """cluster id → kinds of the objects on it. The hub is always there. Raises Rebuilding."""
        if self._state.rebuilding():
            raise Rebuilding
        found: dict[str, set[Kind]] = {HUB: set()}
        for cluster, refs in self._by_cluster().items():
            kinds = found.setdefault(cluster, set())
            for _, memo in self._memos(cluster, refs):
                kinds.update(memo.kinds())
        return found

    def objects(self, cluster: str, kind: Kind) -> dict[str, str]:
        """`<inventory id>@<version>` → ref of every object of a kind that should be on the cluster."""
        ending = f"_{kind.group}_{kind.kind}@{kind.version}"
        refs = self._by_cluster().get(cluster, [])
        return {key: ref for ref, memo in self._memos(cluster, refs) for key in memo.fp if key.endswith(ending)}

    def stranded(self, cluster: str) -> list[str]:
        """The refs that could not be run while this cluster was away; the hub is everybody's cluster."""
        groups = self._by_cluster()
        chosen = groups if cluster == HUB else {cluster: groups.get(cluster, [])}
        return [ref for name, refs in chosen.items() for ref, memo in self._memos(name, refs) if memo.failures]

    def _by_cluster(self) -> dict[str, list[str]]:
        grouped: dict[str, list[str]] = defaultdict(list)
        for ref, cluster in self._state.placements().items():
            if shard_of(ref.partition("/")[0], cluster) in APPLY:
                grouped[cluster].append(ref)
        return grouped

    def _memos(self, cluster: str, refs: list[str]) -> Iterator[tuple[str, Memo]]:
        for chunk in _chunks(refs):
            shard = shard_of(chunk[0].partition("/")[0], cluster)
            for ref, raw in self._state.memos(shard, chunk).items():
                memo = read(raw)
                if memo is not None:
                    yield ref, memo


def _chunks(refs: list[str]) -> Iterable[list[str]]:
    return (refs[i : i + CHUNK] for i in range(0, len(refs), CHUNK))
