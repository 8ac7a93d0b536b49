"""Looks that runs of one worker share: never older than what a run was woken for, never another account's."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest

from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.lastlook import name_of
from fleetbeat.sources.oci.looks import LASTS, opened
from fleetbeat.sources.oci.manifest import OCI_MANIFEST, Descriptor, Manifest, read_manifest
from fleetbeat.sources.oci.pick import Picked
from fleetbeat.sources.oci.reference import digest_of

pytestmark = pytest.mark.unit

NOW = 1_000_000
RAW = json.dumps({"schemaVersion": 2, "layers": []}).encode()
PICKED = Picked(Descriptor(OCI_MANIFEST, digest_of(RAW), len(RAW)), "latest")
NAME = name_of("look", "one")


def manifest() -> Manifest:
    return read_manifest(RAW, digest_of(RAW), OCI_MANIFEST, "test")


def last(folder: Path, asked: int, now: int = NOW + 500, name: str = NAME) -> tuple[Picked | None, Manifest | None]:
    """What a run finds that was woken at `asked`."""
    with opened(folder, name, asked, now, Deadline.after(5)) as look:
        return look.picked, look.manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that was handed out at NOW has looked, and read the manifest."""
    with opened(tmp_path, NAME, NOW - 10, NOW, Deadline.after(5)) as look:
        assert look.picked is None
        look.keep(PICKED)
        look.keep(PICKED, manifest())
    return tmp_path


@pytest.mark.parametrize(("asked", "shared"), [(NOW - 1000, True), (NOW - 1, True), (NOW, False), (NOW + 100, False)])
def test_a_look_serves_who_was_woken_before_it_began(folder: Path, asked: int, shared: bool) -> None:
    """A push right after the look pokes later than it began, so that its run looks again."""
    assert last(folder, asked) == ((PICKED, manifest()) if shared else (None, None))


@pytest.mark.parametrize("now", [NOW - LASTS, NOW + LASTS])
def test_a_look_does_not_last(folder: Path, now: int) -> None:
    """Nor does one of a clock that was set back."""
    assert last(folder, NOW - 2 * LASTS, now) == (None, None)


def test_another_name_has_its_own(folder: Path) -> None:
    """Names hold repository, account and reference."""
    assert last(folder, 0, name=name_of("look", "other")) == (None, None)


def test_a_damaged_manifest_is_read_again(folder: Path) -> None:
    """It is checked against the digest that was picked; a damaged file is no look at all."""
    file = folder / f"{NAME}.look"
    began, _, told = file.read_text().partition("\n")
    file.write_text(f"{began}\n" + json.dumps(json.loads(told) | {"manifest": "e30="}))
    assert last(folder, 0) == (PICKED, None)
    for damaged in (f"{began}\n{{", "{", ""):
        file.write_text(damaged)
        assert last(folder, 0) == (None, None)


def test_one_looks_while_the_others_wait(tmp_path: Path) -> None:
    """And find what it found; whoever waits too long fails by his own deadline."""
    found: list[Picked | None] = []

    def wait() -> None:
        with opened(tmp_path, NAME, 0, NOW + 5, Deadline.after(20)) as look:
            found.append(look.picked)

    with opened(tmp_path, NAME, 0, NOW, Deadline.after(5)) as look:
        waiting = Thread(target=wait)
        waiting.start()
        begun = monotonic()
        with pytest.raises(OCIPullFailed, match="not finished within"):
            ExitStack().enter_context(opened(tmp_path, NAME, 0, NOW, Deadline.after(0.1, OCIPullFailed)))
        assert monotonic() - begun < 5
        assert found == []
        look.keep(PICKED)
        sleep(0.05)
    waiting.join(20)
    assert found == [PICKED]
