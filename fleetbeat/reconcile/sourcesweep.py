"""One look at the upstream of all sources whose interval came round: nothing moved means that their artifacts stand.

Sources of one URL that log in with equal credentials are asked for together, in one round trip; what one account is
told never serves another. Everything else than *nothing moved* (a new revision, an error, anything odd) pokes the
source, and its own run tells. A sweep writes nothing but that, and when it saw an artifact's object in the store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import NamedTuple

import msgspec

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import parse_duration
from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.gitaccount import Login, account_of
from fleetbeat.reconcile.gitinclude import digests
from fleetbeat.reconcile.ocisweep import FollowedTag, lookups_of, read_oci
from fleetbeat.reconcile.settling import Settling
from fleetbeat.reconcile.sharedlook import Group, look_at_all
from fleetbeat.reconcile.sweepable import Known, known
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.sources.credentials import ANONYMOUS, Account
from fleetbeat.sources.git import Deadline, Observed
from fleetbeat.sources.git.plan import Follow, Plan
from fleetbeat.sources.git.poll import difference, list_refs
from fleetbeat.sources.pools import host_of
from fleetbeat.state import Look

THREADS = 6
"""Servers and Secrets that are waited for at a time."""
SERVER_SECONDS = 15.0
"""For one answer; a server that takes longer is asked again by each source's own run, within its own timeout."""
SWEEP_SECONDS = 60.0
"""For all of them, so that the last is settled within the lease of a sweep (120 s); the rest get runs of their own."""


@dataclass(frozen=True)
class Polled:
    """What a sweep found, for Flower."""

    unchanged: int
    asked: int
    """Round trips to servers."""
    poked: tuple[str, ...]
    seconds: float = 0.0
    delayed: int = 0
    """Left to a later sweep, because their host was asked often enough."""

    def __repr__(self) -> str:
        poked = f", {len(self.poked)} poked: {', '.join(self.poked[:3])}" if self.poked else ""
        later = f", {self.delayed} later" if self.delayed else ""
        return f"{self.unchanged} unchanged by {self.asked} looks{poked}{later} in {self.seconds:.2f}s"


class Followed(NamedTuple):
    """A source that is as its last run left it, so that only its upstream can have changed."""

    ref: str
    known: Known
    plan: Plan
    observed: Observed
    login: Login
    seconds: float
    """How long its server may take."""


class Server(NamedTuple):
    """All that decides what a server answers: URL, account with its authorities and proxy, and how long it may take."""

    url: str
    account: Account
    seconds: float


@dataclass(frozen=True)
class Listing(Group[Followed]):
    """One look at the references of a repository."""

    server: Server

    @property
    def host(self) -> str:
        """Whom it asks: nobody, if all of them follow fixed commits."""
        fixed = all(source.plan.target.follow is Follow.COMMIT for source in self.sources)
        return "" if fixed else host_of(self.server.url)

    def look(self) -> dict[str, str]:
        """ref → why it needs a run."""
        url, account, seconds = self.server
        until = Deadline.after(min(seconds, self.deadline.left()))
        found = list_refs(url, account, (source.plan.target for source in self.sources), until)
        differences = ((source.ref, difference(source.plan, source.observed, found)) for source in self.sources)
        return {ref: reason for ref, reason in differences if reason}


def sweep(ctx: Context, shard: str, fence: int, refs: Sequence[str]) -> Polled:
    """Ask the upstream of `refs` and settle them as soon as each one's answer is there; what differs is poked."""
    begun = monotonic()
    found = _read(ctx, shard, refs)
    unseen = {ref: one.known for ref, one in found.items() if not isinstance(one, str) and one.known.unseen}
    settling = Settling(ctx, shard, fence, unseen)
    settling.settle((), {ref: reason for ref, reason in found.items() if isinstance(reason, str)})
    asked = _ask_all(ctx, [one for one in found.values() if not isinstance(one, str)], settling)
    return Polled(settling.unchanged, asked, tuple(settling.poked), monotonic() - begun, settling.delayed)


# What is known of the sources


def _read(ctx: Context, shard: str, refs: Sequence[str]) -> dict[str, Followed | FollowedTag | str]:
    """Each ref as its upstream may confirm it, or why it needs a run whatever its upstream says."""
    looks, memos, records = ctx.state.looks(refs), ctx.state.memos(shard, refs), ctx.state.artifacts(refs)
    found: dict[str, Followed | FollowedTag | str] = {}
    for ref in refs:
        reader = _READERS.get(ref.partition("/")[0])
        look = looks.get(ref)
        if reader is None or look is None:
            found[ref] = "nothing is known that a sweep could compare"
            continue
        try:
            found[ref] = reader(ctx, look, memos[ref], records[ref])
        except (FleetbeatError, msgspec.MsgspecError, KeyError) as error:
            found[ref] = f"it cannot be compared: {error}"[:200]
    return found


def _read_git(ctx: Context, look: Look, memo: bytes | None, record: bytes | None) -> Followed | str:
    found = known(ctx, look, memo, record)
    if isinstance(found, str):
        return found
    ref, observed = found.ref, Observed.of(msgspec.convert(found.status, GitRepositoryStatus))
    if observed is None:
        return "its artifact is not published"
    spec: GitRepositorySpec = decode_spec(KINDS["GitRepository"], found.obj)
    if spec.verify is not None:
        return "its signatures are its own to check"
    plan, seconds = Plan.of(spec, digests(ctx, ref, spec.include)), min(SERVER_SECONDS, parse_duration(spec.timeout))
    if plan.includes != observed.includes:
        return "an included source has changed"
    login = Login.of(ref.namespace, spec, plan.url, ctx.settings.default_source_service_account)
    return Followed(look.ref, found, plan, observed, login, seconds)


Reader = Callable[[Context, Look, bytes | None, bytes | None], Followed | FollowedTag | str]
_READERS: dict[str, Reader] = {"GitRepository": _read_git, "OCIRepository": read_oci}
"""kind → how one of it is read from its registry entry, memo and published artifact."""


# What the servers say


def _ask_all(ctx: Context, found: Sequence[Followed | FollowedTag], settling: Settling) -> int:
    """Ask for everything, Git without credentials first, so that a hub that does not answer delays nobody there."""
    deadline = Deadline.after(SWEEP_SECONDS)
    sources = [one for one in found if isinstance(one, Followed)]
    tags = [one for one in found if isinstance(one, FollowedTag)]
    public = [source for source in sources if source.login.anonymous]
    private = [source for source in sources if not source.login.anonymous]
    with ThreadPoolExecutor(THREADS, "poll") as pool:
        try:
            anonymous = {source.login: ANONYMOUS for source in public}
            asked = look_at_all(pool, _listings(public, anonymous, deadline), settling)
            accounts = _accounts(ctx, pool, {source.login for source in private}, deadline)
            lost = {s.ref: reason for s in private if isinstance(reason := accounts[s.login], str)}
            settling.settle((), lost)
            usable = {login: account for login, account in accounts.items() if not isinstance(account, str)}
            left = [source for source in private if source.ref not in lost]
            asked += look_at_all(pool, _listings(left, usable, deadline), settling)
            lookups, lost = lookups_of(ctx, pool, tags, deadline)
            settling.settle((), lost)
            return asked + look_at_all(pool, lookups, settling)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _accounts(
    ctx: Context, pool: ThreadPoolExecutor, logins: Iterable[Login], deadline: Deadline
) -> dict[Login, Account | str]:
    """Each login made once: the account, or why there is none."""
    wanted = sorted(logins)
    if not wanted:
        return {}
    return dict(zip(wanted, pool.map(partial(_account, ctx.targets.reader, deadline), wanted), strict=True))


def _account(reader: HubReader, deadline: Deadline, login: Login) -> Account | str:
    try:
        return account_of(reader, login, Deadline.after(min(SERVER_SECONDS, deadline.left())))
    except FleetbeatError as error:
        return error.message[:200]


def _listings(sources: Iterable[Followed], accounts: Mapping[Login, Account], deadline: Deadline) -> list[Listing]:
    """By what decides the answer. Credentials are equal in every part or they make different groups."""
    groups: dict[Server, list[Followed]] = defaultdict(list)
    for source in sources:
        groups[Server(source.plan.url, accounts[source.login], source.seconds)].append(source)
    return [Listing(members, deadline, server) for server, members in groups.items()]
