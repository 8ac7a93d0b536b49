"""One look at an upstream for each group of sources that may share it, many groups at a time.

Owns the host's turn, and what becomes of a group whose look fails: each of its sources has a run of its own, which
tells. Which sources may share a look, and how to look, is the kinds' business.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile.politeness import polite_wait
from fleetbeat.reconcile.settling import Settling
from fleetbeat.reconcile.sweepable import Known
from fleetbeat.sources.deadline import Deadline

log = logging.getLogger(__name__)


class Member(Protocol):
    """A source that is as its last run left it, so that only its upstream can have changed."""

    @property
    def ref(self) -> str: ...

    @property
    def known(self) -> Known: ...


MemberT = TypeVar("MemberT", bound=Member)


@dataclass(frozen=True)
class Group(ABC, Generic[MemberT]):
    """Sources that one look serves, because all of them may see the same there."""

    sources: Sequence[MemberT]
    deadline: Deadline

    @property
    def refs(self) -> list[str]:
        """Its sources."""
        return [source.ref for source in self.sources]

    @property
    def namespaces(self) -> set[str]:
        """Whose sources these are."""
        return {source.known.ref.namespace for source in self.sources}

    @property
    @abstractmethod
    def host(self) -> str:
        """Whom the look asks; empty when it asks nobody."""

    @abstractmethod
    def look(self) -> dict[str, str]:
        """ref → why it needs a run; those that are not named are as they were. Raises FleetbeatError."""


def look_at_all(pool: ThreadPoolExecutor, groups: Sequence[Group[Any]], settling: Settling) -> int:
    """Settle each group as its upstream answers, and leave those whose host was asked often enough to a later sweep.

    Returns how many were asked.
    """
    asking: dict[Future[dict[str, str]], Group[Any]] = {}
    for group in groups:
        wait = polite_wait(settling.ctx, group.host, group.namespaces)
        if wait:
            settling.delay(group.refs, wait)
        else:
            asking[pool.submit(_looked, group)] = group
    for done in as_completed(asking):
        settling.settle(asking[done].refs, done.result())
    return len(asking)


def _looked(group: Group[Any]) -> dict[str, str]:
    try:
        return {ref: why[:200] for ref, why in group.look().items()}
    except FleetbeatError as error:
        why = f"asked together: {error.message}"
    except Exception as error:
        log.exception("%s: a look failed unexpectedly", group.host)
        why = f"asked together: unexpected {type(error).__name__}"
    return dict.fromkeys(group.refs, why[:200])
