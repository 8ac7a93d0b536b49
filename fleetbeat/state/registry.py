"""What the hub's resources are: records, the reverse index, artifacts, clusters, and the epoch that vouches for them.

Written by the registrar alone, except artifacts. Redis is never the truth: when it was wiped, restarted or restored,
every verb raises Rebuilding until the registrar has told it everything again between `begin_epoch` and `commit_epoch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fleetbeat.state import shards
from fleetbeat.state.records import Look, Record, Registered
from fleetbeat.state.server import Server, text

REGISTRAR = "registrar"
"""The role that writes the registry."""

_CHUNK = 200


class Registry(Server):
    """register, forget, begin_epoch, commit_epoch, and reads."""

    def rebuilding(self) -> bool:
        """True until an epoch is committed on this very server process."""
        return bool(self.call("rebuilding"))

    def begin_epoch(self, fence: int) -> None:
        """Start the registry anew: everything but roles and events is cleared and every verb answers *rebuilding*.

        `fence` is the caller's of the role `registrar`; raises LostLease when another holds it.
        """
        self.call("begin_epoch", fence)

    def commit_epoch(self, fence: int) -> str:
        """Declare the registry complete and return the epoch's name.

        Every ref was armed as it was registered, 10 ms apart and at most its interval ahead; consumers 20 s after
        sources, whose artifacts poke them before that. Raises LostLease, and Rebuilding when Redis was wiped or
        restarted meanwhile.
        """
        return text(self.call("commit_epoch", fence))

    def register(self, records: Iterable[Record], fence: int) -> Registered:
        """Take what the hub says: news are poked urgently, older records are refused.

        News are a new resource, generation, request or deletion; those of a suspended one ask for one run, in which its
        status follows. `fence` is the caller's of the role `registrar`; raises LostLease when another holds it, and
        Rebuilding unless an epoch stands or was begun by the caller.
        """
        chosen = list(records)
        totals = (0, 0, 0)
        for i in range(0, len(chosen), _CHUNK):
            reply = self.call("register", fence, *(arg for record in chosen[i : i + _CHUNK] for arg in _fields(record)))
            totals = (totals[0] + reply[0], totals[1] + reply[1], totals[2] + reply[2])
        return Registered(*totals)

    def forget(self, ref: str, uid: str, fence: int) -> bool:
        """Drop a resource that is gone from the hub; False when the ref is unknown or another object by now."""
        return bool(self.call("forget", fence, ref, uid))

    def known(self) -> dict[str, str]:
        """ref → uid of everything registered, to find what is gone after a list."""
        metas = ((shard, self._pairs(f"fb:{{{shard}}}:meta")) for shard in shards.ALL)
        return {ref: meta.split(b";", 1)[0].decode() for _, pairs in metas for ref, meta in pairs}

    def placements(self) -> dict[str, str]:
        """ref → cluster id of everything registered, suspended refs included."""
        metas = ((shard, self._pairs(f"fb:{{{shard}}}:meta")) for shard in shards.ALL)
        return {ref: meta.split(b";", 5)[4].decode() for _, pairs in metas for ref, meta in pairs}

    def members(self, cluster: str) -> list[str]:
        """The refs whose objects live on a cluster, suspended ones included."""
        return [ref for ref, placed in self.placements().items() if placed == cluster]

    def look(self, ref: str) -> Look | None:
        """One ref as the registry knows it; None when it does not."""
        return self.looks([ref]).get(ref)

    def looks(self, refs: Sequence[str]) -> dict[str, Look]:
        """`look` for many; unknown refs are left out."""
        return {
            ref: Look(ref, text(row[0]), text(row[1]), int(row[2]), text(row[3]), row[4], row[5])
            for i in range(0, len(refs), _CHUNK)
            for ref, row in zip(refs[i : i + _CHUNK], self.call("look", *refs[i : i + _CHUNK]), strict=True)
            if row
        }

    def cycle(self, ref: str, kinds: Sequence[str]) -> list[str]:
        """The shortest way from `ref` over what each one refers to back to it, both ends included; empty without one.

        Only refs of `kinds` are followed.
        """
        return [text(step) for step in self.call("cycle", ref, *kinds)]

    def every(self, kind: str) -> Iterator[Look]:
        """Every registered resource of a kind."""
        for shard in shards.shards_of(kind):
            refs = [ref for ref, _ in self._pairs(f"fb:{{{shard}}}:meta") if ref.startswith(f"{kind}/")]
            yield from self.looks(refs).values()

    def memos(self, shard: str, refs: Sequence[str]) -> dict[str, bytes | None]:
        """ref → memo, None where there is none."""
        if not refs:
            return {}
        return dict(zip(refs, self.call("memos", shard, *refs), strict=True))

    def publish_artifact(self, source: str, artifact: bytes, *, registrar: int | None = None) -> bool:
        """Make `artifact` (JSON with `fence`) the current one of `source`; False when a newer fence has published.

        The registrar republishes artifacts of suspended sources while it rebuilds and gives its fence for that.
        """
        return bool(self.call("publish_artifact", source, artifact, "" if registrar is None else registrar))

    def offer(self, source: str, artifact: bytes | None, fence: int) -> bool:
        """Make `artifact` (JSON without `key`) that of a source which others reconcile; None: it has none (any more).

        Whatever is offered last holds. False when revision, digest and URL were known already; else the source is
        `untold` until `told`.
        `fence` is the caller's of the role `registrar`, who may do this also while it rebuilds.
        """
        return bool(self.call("offer", fence, source, artifact or b""))

    def offered(self) -> set[str]:
        """The sources of which an artifact is known, our own included."""
        return {text(source) for source in self.command("HKEYS", "fb:artifacts")}

    def untold(self) -> list[str]:
        """Sources with an offered artifact that nobody was poked for yet."""
        return [text(source) for source in self.command("SMEMBERS", "fb:untold")]

    def told(self, sources: Sequence[str], fence: int) -> None:
        """The dependents of these sources were poked."""
        if sources:
            self.call("told", fence, *sources)

    def dependents(self, targets: Sequence[str]) -> dict[str, set[str]]:
        """target (`Kind/namespace/name`) → the refs that refer to it."""
        if not targets:
            return {}
        found = self.call("dependents", *targets)
        return {target: {text(ref) for ref in refs} for target, refs in zip(targets, found, strict=True)}

    def artifact(self, source: str) -> bytes | None:
        """JSON of the artifact that `source` published in this epoch."""
        found: bytes | None = self.call("artifact", source)
        return found

    def artifacts(self, sources: Sequence[str]) -> dict[str, bytes | None]:
        """`artifact` for many."""
        if not sources:
            return {}
        return dict(zip(sources, self.call("artifacts", *sources), strict=True))

    def cluster(self, cluster: str) -> bytes | None:
        """JSON that tells how a cluster is reached; None for the hub and for clusters without refs."""
        found: bytes | None = self.command("HGET", "fb:clusters", cluster)
        return found

    def clusters(self) -> dict[str, bytes]:
        """cluster id → JSON that tells how it is reached, of every cluster in use but the hub."""
        return dict(self._pairs("fb:clusters"))

    def mark_observed(self, clusters: Iterable[str]) -> None:
        """Note that the watches of these clusters are live now."""
        chosen = list(clusters)
        if chosen:
            self.call("mark_observed", *chosen)

    def observed(self) -> dict[str, float]:
        """cluster id → seconds since its watches were last live."""
        reply = self.call("observed")
        return {text(cluster): int(ms) / 1000 for cluster, ms in zip(reply[::2], reply[1::2], strict=True)}

    def _pairs(self, key: str) -> list[tuple[str, bytes]]:
        found: dict[bytes, bytes] = self._guard(dict, self._redis.hscan_iter(key, count=1000))
        return [(name.decode(), value) for name, value in found.items()]


def _fields(record: Record) -> tuple[Any, ...]:
    flags = ("s" if record.suspended else "") + ("d" if record.deleting else "")
    return (
        record.shard,
        record.ref,
        record.uid,
        record.rv,
        record.generation,
        record.every_ms,
        record.cluster,
        flags,
        record.requested,
        record.obj,
        record.status or b"",
        " ".join(record.targets),
        record.reach or b"",
        record.group,
    )
