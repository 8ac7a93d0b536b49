"""What explain learns from a real Redis."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from fleetbeat.api.refs import Ref
from tests.support.registry import rebuilt, record, ref
from workers.cli.facts import Queue, Trouble
from workers.cli.queues import Queues

pytestmark = pytest.mark.unit

APPS = Ref.parse(ref("apps"))


def look(url: str, wanted: Ref = APPS) -> tuple[Queue | None, Trouble]:
    """One look over a connection of its own."""
    with closing(Queues(url)) as queues:
        return queues.look(wanted)


def test_a_run_is_followed_from_poke_to_end(redis_url: str) -> None:
    """Why, phase and next due time are those of the due-set."""
    with rebuilt(redis_url) as registry:
        registry.settled(record("apps"))
        idle, _ = look(redis_url)
        assert idle is not None and idle.phase == "idle"
        assert idle.due is not None and 3000 < idle.due < 4200
        run = registry.started("apps")
        running, _ = look(redis_url)
        assert running is not None and (running.phase, running.why, running.due) == ("running", "test", None)
        registry.state.poke([ref("apps")], "again")
        dirty, _ = look(redis_url)
        assert dirty is not None and dirty.dirty
        registry.finish(run)


def test_what_a_health_check_waits_for(redis_url: str) -> None:
    """The objects that its last run left in its memo."""
    with rebuilt(redis_url) as registry:
        registry.settled(record("apps"))
        waiting = {"health": {"waiting": {"shop_api_apps_Deployment": "v1"}}}
        registry.finish(registry.started("apps"), memo=json.dumps(waiting).encode())
        seen, _ = look(redis_url)
        assert seen is not None and seen.awaits == ("Deployment/shop/api",)


def test_a_ref_that_is_not_registered(redis_url: str) -> None:
    """Redis was asked and knows nothing of it."""
    with rebuilt(redis_url):
        assert look(redis_url, Ref("Kustomization", "apps", "absent")) == (None, Trouble.NONE)


def test_an_incomplete_registry_is_told_apart(redis_url: str) -> None:
    """Before the epoch is committed every answer is *rebuilding*."""
    assert look(redis_url) == (None, Trouble.REBUILDING)


def test_without_redis_nothing_is_asked(redis_url: str) -> None:
    """No URL is no trouble; a server that does not answer is asked once and remembered."""
    assert look("") == (None, Trouble.NOT_ASKED)
    with closing(Queues("redis://127.0.0.1:1/0")) as queues:
        assert queues.look(APPS) == (None, Trouble.NOT_ASKED)
        assert queues.unanswered
