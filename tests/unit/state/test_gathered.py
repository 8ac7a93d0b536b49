"""Consumers of one new artifact share a look when there are many of them: who joins, and who never comes back to it."""

from __future__ import annotations

import pytest

from fleetbeat.state.reasons import artifact_reason
from tests.support.registry import SHARD, Registry, record, ref

pytestmark = pytest.mark.unit

WHY = artifact_reason("GitRepository/apps/repo")
MANY = [f"app-{number}" for number in range(8)]


def woken(registry: Registry, names: list[str], *, sweepable: bool = True) -> None:
    """Settled refs whose source has a new artifact."""
    registry.settled(*(record(name) for name in names), sweepable=sweepable)
    registry.state.poke([ref(name) for name in names], WHY, urgent=True)


def test_many_consumers_of_one_artifact_share_a_sweep(registry: Registry) -> None:
    """One message says why for all of them."""
    woken(registry, MANY)
    claimed = registry.state.claim(SHARD)
    assert claimed.runs == []
    assert [(sweep.why, sorted(sweep.refs)) for sweep in claimed.sweeps] == [(WHY, sorted(map(ref, MANY)))]


@pytest.mark.parametrize("sweepable", [True, False])
def test_few_or_unsettled_consumers_run(registry: Registry, sweepable: bool) -> None:
    """A look first would only delay a few, and those whose last run left something to do."""
    woken(registry, MANY[:7] if sweepable else MANY, sweepable=sweepable)
    claimed = registry.state.claim(SHARD)
    assert claimed.sweeps == []
    assert {run.why for run in claimed.runs} == {WHY}


def test_a_second_reason_asks_for_a_run(registry: Registry) -> None:
    """Whatever else happened needs more than a look."""
    woken(registry, [*MANY, "edited"])
    registry.state.poke([ref("edited")], "generation 2")
    claimed = registry.state.claim(SHARD)
    assert [(run.ref, run.why) for run in claimed.runs] == [(ref("edited"), f"{WHY}, generation 2")]
    assert [sorted(sweep.refs) for sweep in claimed.sweeps] == [sorted(map(ref, MANY))]


def test_another_artifact_meanwhile_is_looked_at_anew(registry: Registry) -> None:
    """A ref leaves the sweep that may have seen the older one, and joins the next."""
    woken(registry, MANY)
    (first,) = registry.state.claim(SHARD).sweeps
    registry.state.poke([ref(name) for name in MANY], WHY, urgent=True)
    (second,) = registry.state.claim(SHARD).sweeps
    assert sorted(second.refs) == sorted(first.refs)
    assert registry.state.settle(SHARD, first.fence, first.refs) == 0
    assert registry.state.settle(SHARD, second.fence, second.refs) == len(MANY)


def test_what_a_sweep_pokes_runs(registry: Registry) -> None:
    """It never joins another sweep, however many were poked."""
    woken(registry, MANY)
    (sweep,) = registry.state.claim(SHARD).sweeps
    registry.state.settle(SHARD, sweep.fence, (), dict.fromkeys(sweep.refs, f"{WHY}: what it is built from moved"))
    claimed = registry.state.claim(SHARD)
    assert (len(claimed.runs), claimed.sweeps) == (len(MANY), [])


def test_a_lost_sweep_makes_runs(registry: Registry) -> None:
    """A look that kills its worker is not tried for ever."""
    woken(registry, MANY)
    registry.state.claim(SHARD, lease_seconds=0)
    claimed = registry.state.claim(SHARD)
    assert (len(claimed.runs), claimed.sweeps) == (len(MANY), [])
