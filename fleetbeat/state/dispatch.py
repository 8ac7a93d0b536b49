"""The due-set and the leases: who may run now, and that nobody else does.

Each method is one verb, atomic in Redis, on the Redis server's clock. Invariant of all of them: a registered ref that
is not suspended is either in the due-set or has a lease that ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from fleetbeat.state.records import Answer, Claimed, Ended, Input, Run, Shares, Sweep
from fleetbeat.state.server import Server, text

LEASE_SECONDS = 30.0
LANE_CAP = 128
CLUSTER_CAP = 32
SWEEP_SIZE = 500
"""Refs of a sweep, but for what its last group adds."""
CLUSTER_SWEEP_SIZE = 2000
"""Of consumers: each sweep lists all that the hub has on the cluster, so few sweeps are best."""
_CHUNK = 500
_ANSWERS = 100


class Share(NamedTuple):
    """One shard and how much of it may be live at once; see `Dispatch.claim`."""

    shard: str
    lane_cap: int = LANE_CAP
    cluster_cap: int = CLUSTER_CAP
    queue: str = ""
    sweep_size: int = SWEEP_SIZE


class Dispatch(Server):
    """claim, poke, start, renew, finish, settle, delay, remember, answer."""

    def claim(
        self,
        shard: str,
        limit: int = 1000,
        *,
        lane_cap: int = LANE_CAP,
        cluster_cap: int = CLUSTER_CAP,
        lease_seconds: float = LEASE_SECONDS,
        sweep_size: int = SWEEP_SIZE,
        queue: str = "",
    ) -> Claimed:
        """Take due refs, urgent ones first, and reap expired leases.

        At most `limit` messages come back; at most `lane_cap` are live in the shard and `cluster_cap` for one cluster,
        a sweep counting as one. `queue` names the list that holds the shard's messages in the same Redis: as long as it
        holds `lane_cap` of them nothing is claimed, so absent workers build no backlog. A message that is not started
        within `lease_seconds` counts as lost; so does a sweep of requested refs that is not settled within that time,
        and any other sweep after four times as long.
        """
        return self.claims([Share(shard, lane_cap, cluster_cap, queue, sweep_size)], limit, lease_seconds)[shard]

    def claims(
        self,
        shares: Sequence[Share],
        limit: int = 1000,
        lease_seconds: float = LEASE_SECONDS,
    ) -> dict[str, Claimed]:
        """`claim` for several shards in one round trip; at most `limit` messages of each."""
        lease = round(lease_seconds * 1000)
        args: list[str | int] = []
        for share in shares:
            args += (share.shard, limit, share.lane_cap, share.cluster_cap, lease, share.sweep_size, share.queue)
        replies = self.call("claims", *args)
        return {share.shard: _claimed(reply) for share, reply in zip(shares, replies, strict=True)}

    def poke(self, refs: Iterable[str], why: str, urgent: bool = False, *, delay_ms: int = 0) -> int:
        """Ask for a run of each ref: one begins after this call, unless the ref is suspended.

        Pokes of a ref that has not begun its run coalesce. `delay_ms` lets more of them gather; such a poke is not
        urgent. Returns how many refs were poked; unknown ones are not.
        """
        chosen = list(refs)
        return sum(self._poke(chosen[i : i + _CHUNK], why, urgent, delay_ms) for i in range(0, len(chosen), _CHUNK))

    def _poke(self, refs: Sequence[str], why: str, urgent: bool, delay_ms: int) -> int:
        return int(self.call("poke", why, int(urgent), delay_ms, *refs))

    def poke_dependents(self, target: str, why: str, urgent: bool = False, *, delay_ms: int = 0) -> int:
        """`poke` every ref that refers to `target` (`Kind/namespace/name`); returns how many there were."""
        poked, rest = self.call("poke_dependents", target, why, int(urgent), delay_ms, _CHUNK)
        return int(poked) + self.poke([text(ref) for ref in rest], why, urgent, delay_ms=delay_ms)

    def start(self, shard: str, ref: str, fence: int, seconds: float = LEASE_SECONDS) -> Input | None:
        """Begin a claimed run with a lease of `seconds`; None when it is superseded or has begun already."""
        reply = self.call("start", shard, ref, fence, secrets.token_hex(8), round(seconds * 1000))
        if reply is None:
            return None
        obj, status, memo, *rest = reply
        why, uid, generation, cluster, epoch, asked, now = (text(field) for field in rest)
        return Input(obj, status, memo, why, uid, int(generation), cluster, epoch, int(asked), int(now))

    def renew(self, shard: str, ref: str, fence: int, seconds: float = LEASE_SECONDS) -> bool:
        """Extend a run's lease to `seconds` from now; False when the run is superseded."""
        return bool(self.call("renew", shard, ref, fence, round(seconds * 1000)))

    def finish(
        self,
        shard: str,
        ref: str,
        fence: int,
        *,
        status: bytes | None = None,
        memo: bytes | None = None,
        next_ms: int | None = None,
        shares: Shares = Shares.NONE,
        announce: tuple[str, str] = ("", ""),
        events: Sequence[bytes] = (),
    ) -> Ended:
        """End a run, write its status and arm the next one.

        `status` and `memo` None leave what is stored, empty removes it; a status that differs from the stored one is
        marked for the reporter. `next_ms` counts from now, 0 is at once; None is the ref's interval. `shares` lets
        what comes next become part of a sweep. `announce` is (target, why): whoever refers to the target is poked
        urgently, in the same step; an empty reason pokes nobody.
        """
        ended, rest = self.call(
            "finish",
            shard,
            ref,
            fence,
            -1 if next_ms is None else next_ms,
            shares.value,
            int(status is not None),
            status or b"",
            int(memo is not None),
            memo or b"",
            *announce,
            *events,
        )
        if rest:
            self.poke_dependents(*announce, urgent=True)
        return cast(Ended, text(ended))

    def settle(self, shard: str, fence: int, unchanged: Sequence[str], poked: Mapping[str, str] | None = None) -> int:
        """End a sweep for `unchanged` refs, due again at their interval, and `poked` ones (ref → why), due at once.

        Refs that were poked or superseded meanwhile are left alone. Returns how many were settled.
        """
        pokes = [item for pair in (poked or {}).items() for item in pair]
        chunks = range(0, max(len(unchanged), 1), _CHUNK)
        return sum(
            int(self.call("settle", shard, fence, len(part), *part, *(pokes if i == 0 else ())))
            for i in chunks
            for part in (unchanged[i : i + _CHUNK],)
        )

    def delay(self, shard: str, fence: int, refs: Sequence[str], seconds: float) -> int:
        """Give back refs that a sweep still holds, to be swept in so many seconds; returns how many they were."""
        ms = int(seconds * 1000)
        parts = (refs[i : i + _CHUNK] for i in range(0, len(refs), _CHUNK))
        return sum(int(self.call("delay", shard, fence, ms, *part)) for part in parts)

    def remember(self, shard: str, fence: int, memos: Mapping[str, bytes]) -> None:
        """Write memos (ref → JSON) of refs that a sweep still holds; those poked meanwhile keep theirs."""
        rows = list(memos.items())
        for i in range(0, len(rows), _CHUNK):
            self.call("remember", shard, fence, *(item for row in rows[i : i + _CHUNK] for item in row))

    def answer(self, shard: str, fence: int, answers: Mapping[str, Answer]) -> int:
        """End a sweep for refs for which it did all that a run would (ref → its answer).

        Refs that were poked or superseded meanwhile are left alone, and nothing of theirs is written. Returns how many
        were answered.
        """
        rows = list(answers.items())
        return sum(self._answer(shard, fence, rows[i : i + _ANSWERS]) for i in range(0, len(rows), _ANSWERS))

    def _answer(self, shard: str, fence: int, rows: Sequence[tuple[str, Answer]]) -> int:
        args: list[str | int | bytes] = []
        for ref, found in rows:
            next_ms = -1 if found.next_ms is None else found.next_ms
            args += (ref, found.shares.value, next_ms, int(found.status is not None), found.status or b"")
            args += (int(found.memo is not None), found.memo or b"", len(found.events), *found.events)
            args += (found.news, len(found.wakes), *found.wakes)
        return int(self.call("answer", shard, fence, *args))

    def await_wake(self, seconds: float) -> bool:
        """Wait up to `seconds` until something became due earlier than the last claim said; True when it did."""
        return self.block("fb:wake", seconds)


def _claimed(reply: Sequence[Any]) -> Claimed:
    wait_ms, runs, *sweeps = reply
    return Claimed(
        runs=[
            Run(ref.decode(), int(fence), why.decode(), urgent == b"1")
            for ref, fence, why, urgent in zip(*(iter(runs),) * 4, strict=True)
        ],
        sweeps=[Sweep(text(s[0]), int(s[1]), [ref.decode() for ref in s[3:]], text(s[2])) for s in sweeps],
        wait=int(wait_ms) / 1000,
    )
