"""Artifacts that the registrar publishes for sources of others."""

from __future__ import annotations

import pytest

from fleetbeat.errors import LostLease, Rebuilding
from tests.support.registry import Registry

pytestmark = pytest.mark.unit

SOURCE = "ExternalArtifact/apps/x"


def test_the_last_offer_holds_and_is_untold_until_told(registry: Registry) -> None:
    """Whatever its fence; an equal one is no news, nor one that only tells another origin."""
    state, fence = registry.state, registry.fence
    assert state.offer(SOURCE, b'{"revision":"a","fence":9}', fence)
    assert state.untold() == [SOURCE]
    state.told([SOURCE], fence)
    assert not state.offer(SOURCE, b'{"revision":"a","fence":9}', fence)
    assert not state.offer(SOURCE, b'{"revision":"a","fence":9,"metadata":{}}', fence)
    assert state.untold() == []
    assert state.offer(SOURCE, b'{"revision":"b","fence":3}', fence)
    assert state.artifact(SOURCE) == b'{"revision":"b","fence":3}'
    assert (state.untold(), state.offered()) == ([SOURCE], {SOURCE})


def test_an_offer_that_is_taken_back_is_gone(registry: Registry) -> None:
    """There is nothing left to tell."""
    state, fence = registry.state, registry.fence
    state.offer(SOURCE, b'{"fence":0}', fence)
    assert state.offer(SOURCE, None, fence)
    assert not state.offer(SOURCE, None, fence)
    assert (state.artifact(SOURCE), state.untold(), state.offered()) == (None, [], set())


def test_a_source_that_comes_to_us_is_published_by_its_run(registry: Registry) -> None:
    """Even when the other's clock was ahead of ours."""
    state = registry.state
    state.offer(SOURCE, b'{"fence":9000}', registry.fence)
    assert state.publish_artifact(SOURCE, b'{"fence":5,"key":"k"}')
    assert not state.publish_artifact(SOURCE, b'{"fence":4,"key":"k"}')


def test_only_the_registrar_offers(registry: Registry) -> None:
    """One that lost its lease is refused."""
    with pytest.raises(LostLease):
        registry.state.offer(SOURCE, b"{}", registry.fence + 1)
    with pytest.raises(LostLease):
        registry.state.told([SOURCE], registry.fence + 1)


def test_offers_are_taken_while_the_registry_is_rebuilt(registry: Registry) -> None:
    """From the registrar that rebuilds it; a new epoch begins without the old ones."""
    state, fence = registry.state, registry.fence
    state.offer("GitRepository/apps/old", b'{"fence":1}', fence)
    state.begin_epoch(fence)
    assert state.offer(SOURCE, b'{"fence":1}', fence)
    with pytest.raises(Rebuilding):
        state.artifact(SOURCE)
    state.commit_epoch(fence)
    assert (state.offered(), state.untold()) == ({SOURCE}, [SOURCE])
    state.command("SET", "fb:epoch", "somebody:else")
    with pytest.raises(Rebuilding):
        state.offer(SOURCE, b'{"fence":2}', fence)
