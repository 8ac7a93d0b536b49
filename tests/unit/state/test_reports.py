"""What the reporter reads and clears."""

from __future__ import annotations

import threading
import time

import pytest

from fleetbeat.state import State
from tests.support.registry import SHARD, Registry, record, ref
from tests.support.wait import until

pytestmark = pytest.mark.unit


def change(registry: Registry, name: str, status: bytes) -> None:
    """One run that ends with a status."""
    registry.finish(registry.started(name), status=status)


def test_changes_come_oldest_first_and_once_until_acknowledged(registry: Registry) -> None:
    """A reader goes on from a seq; who starts anew sees all that nobody acknowledged."""
    registry.settled(record("a"), record("b"))
    change(registry, "b", b'{"s":1}')
    change(registry, "a", b'{"s":1}')
    first, second = registry.state.changed()
    assert (first.ref, second.ref) == (ref("b"), ref("a"))
    assert [c.ref for c in registry.state.changed(after=first.seq)] == [ref("a")]
    assert [c.ref for c in registry.state.changed(limit=1)] == [ref("b")]
    assert registry.state.ack([(c.shard, c.ref, c.seq) for c in (first, second)]) == 2
    assert registry.state.changed() == []


def test_a_newer_change_keeps_its_mark(registry: Registry) -> None:
    """Acknowledging what was written does not lose what came after."""
    registry.settled(record("a"))
    change(registry, "a", b'{"s":1}')
    old = registry.state.changed()[0]
    change(registry, "a", b'{"s":2}')
    assert registry.state.ack([(old.shard, old.ref, old.seq)]) == 0
    assert [c.status for c in registry.state.changed()] == [b'{"s":2}']


def test_a_forgotten_ref_has_no_change_to_tell(registry: Registry) -> None:
    """There is no resource left to write to."""
    registry.settled(record("a"))
    change(registry, "a", b"{}")
    registry.state.forget(ref("a"), "uid-a", registry.fence)
    assert registry.state.changed() == []


@pytest.mark.parametrize("what", ["status", "event"])
def test_a_waiting_reporter_hears_at_once(registry: Registry, what: str) -> None:
    """Of a status and of an event, well under the 200 ms that a status may take to the hub."""
    registry.settled(record("a"))
    run = registry.started("a")
    heard: list[float] = []
    reader = State(registry.url)
    reader.changed(block_ms=1)  # takes the nudge of the new epoch

    def wait() -> None:
        reader.changed(block_ms=5000)
        heard.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: registry.state.command("INFO", "clients")["blocked_clients"], interval=0.005, message="it waits")
    begun = time.monotonic()
    registry.finish(run, status=b"{}" if what == "status" else None, events=[b"{}"] if what == "event" else [])
    waiting.join()
    reader.close()
    assert heard[0] - begun < 0.2


def test_consumers_of_events_remember_their_position(registry: Registry) -> None:
    """Each its own; a new one begins at the beginning."""
    registry.state.emit([b"1", b"2"])
    first = registry.state.events_after(registry.state.position("reporter"))[0]
    registry.state.advance("reporter", first.id)
    assert [e.data for e in registry.state.events_after(registry.state.position("reporter"))] == [b"2"]
    assert len(registry.state.events_after(registry.state.position("alerts"))) == 2


def test_live_and_inspect_tell_where_a_ref_stands(registry: Registry) -> None:
    """From waiting over queued and running to waiting."""
    registry.settled(record("a"))
    state = registry.state

    def stand() -> tuple[object, ...]:
        seen = state.inspect(ref("a"))
        assert seen is not None
        return seen.phase, seen.fence, seen.why, seen.due is None, state.live([ref("a")]).get(ref("a"))

    state.poke([ref("a")], "webhook")
    assert stand() == ("idle", 0, "webhook", False, None)
    fence = registry.claim()[0].fence
    assert stand() == ("queued", fence, "webhook", True, "queued")
    state.start(SHARD, ref("a"), fence)
    assert stand() == ("running", fence, "webhook", True, "running")
    state.finish(SHARD, ref("a"), fence)
    assert stand() == ("idle", 0, "", False, None)
    assert state.inspect(ref("unknown")) is None
