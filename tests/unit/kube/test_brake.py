"""The prune brake's arithmetic: which change is stopped, what confirms it, and for how long that holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.brake import Limits, code_of, inventory_size, may_pull, pull, told
from fleetbeat.kube.ledger import Held, LedgerEntry

pytestmark = pytest.mark.unit


def oid(number: int) -> ObjectId:
    return ObjectId("", "ConfigMap", "apps", f"c{number:03}")


def entries(numbers: Iterable[int], written: bool = True) -> dict[ObjectId, LedgerEntry]:
    return {oid(n): LedgerEntry("v1", uid=f"uid-{n}" if written else "") for n in numbers}


def uids(found: Iterable[ObjectId]) -> dict[ObjectId, str]:
    return {one: f"uid-{int(one.name[1:])}" for one in found}


def pulled(stale: int, of: int, limits: Limits | None = None) -> Held | None:
    gone = entries(range(stale))
    return pull(uids(gone), gone, of, limits or Limits(), None)


@pytest.mark.parametrize(
    ("stale", "of", "stops"),
    [
        (4, 4, False),
        (5, 5, True),
        (5, 6, False),
        (50, 51, False),
        (51, 101, True),
        (51, 102, False),
        (60, 120, False),
        (61, 120, True),
        (0, 0, False),
    ],
)
def test_the_default_limits(stale: int, of: int, stops: bool) -> None:
    """All of five or more; or over fifty that are over half."""
    assert (pulled(stale, of) is not None) == stops
    assert may_pull(stale, of, Limits()) == stops


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", Limits(5, 50)),
        ("off", Limits(None, None)),
        (" OFF ", Limits(None, None)),
        ("all=1", Limits(1, 50)),
        ("most=0", Limits(5, 0)),
        ("all=off", Limits(None, 50)),
        ("all=20, most=off", Limits(20, None)),
    ],
)
def test_limits_in_words(text: str, limits: Limits) -> None:
    """Either limit can be set or switched off alone; what is not named stays at its default."""
    assert Limits.parse(text, "x") == limits


def test_an_annotation_goes_on_from_the_installation() -> None:
    """What the annotation does not name is as the installation has it."""
    assert Limits.parse("most=9", "x", Limits(3, 30)) == Limits(3, 9)


@pytest.mark.parametrize("text", ["on", "5", "all=", "all=-1", "all=5;most=3", "half=5", "all=5 most=3"])
def test_limits_that_are_not_understood(text: str) -> None:
    """The message names what holds them."""
    with pytest.raises(InvalidSpec, match=r"annotation a\.b/c: .*all=5,most=50"):
        Limits.parse(text, "annotation a.b/c")


@pytest.mark.parametrize("count", [1, 5, 500])
def test_off_never_stops(count: int) -> None:
    """Not even when everything goes."""
    assert pulled(count, count, Limits.parse("off", "x")) is None


def test_the_code_is_that_of_one_list() -> None:
    """The order does not matter; another object, or another object of the same name, makes another code."""
    going = uids(entries(range(7)))
    assert code_of(going) == code_of(dict(reversed(going.items())))
    assert len({code_of(going), code_of({**going, oid(9): "uid-9"}), code_of({**going, oid(0): "made anew"})}) == 3


def test_applying_the_new_objects_does_not_release_it() -> None:
    """A rename of everything doubles the inventory; the limits go by the size that it had."""
    stale = entries(range(6))
    held = pull(uids(stale), stale, 6, Limits(), None)
    assert held is not None
    everything = {**stale, **entries(range(100, 106))}
    of = inventory_size(everything.values(), held)
    assert of == 6
    assert pull(uids(stale), stale, of, Limits(), held) == held


def test_deletions_by_hand_do_not_release_it() -> None:
    """The change is as large as it was; the confirmation is for what is left."""
    stale = entries(range(6))
    held = pull(uids(stale), stale, 6, Limits(), None)
    rest = uids(list(stale)[:2])
    again = pull(rest, stale, 6, Limits(), held)
    assert held is not None and again is not None
    assert (again.ids, again.code != held.code) == (held.ids[:2], True)


def test_giving_objects_back_releases_it() -> None:
    """A change that is within the limits by now needs nobody's word."""
    held = pull(uids(entries(range(6))), entries(range(6)), 6, Limits(), None)
    fewer = entries(range(3))
    assert pull(uids(fewer), fewer, 6, Limits(), held) is None


def test_objects_that_were_only_intended_do_not_count() -> None:
    """A run that died before it wrote leaves entries without uid: neither in the size nor among the deleted."""
    stale = {**entries(range(5)), **entries(range(50, 60), written=False)}
    known = {**stale, **entries(range(10, 15))}
    of = inventory_size(known.values(), None)
    assert of == 10
    assert pull(uids(list(stale)[:5]), stale, of, Limits(), None) is None


def test_what_was_confirmed_is_free_until_it_is_gone() -> None:
    """When deletions fail half way, the rest needs no second confirmation; more than that does."""
    stale = entries(range(6))
    held = pull(uids(stale), stale, 6, Limits(), None)
    assert held is not None
    allowed = replace(held, confirmed=True)
    assert pull(uids(stale), stale, 6, Limits(), allowed) is None
    more = entries(range(20))
    found = pull(uids(more), more, inventory_size(more.values(), allowed), Limits(), allowed)
    assert found is not None
    assert found.ids == tuple(sorted(one.inventory_id for one in more if one not in stale))


def test_the_message_says_how_to_go_on() -> None:
    """How many of how many, the first of them, the command and the exact annotation."""
    held = pulled(7, 7)
    assert held is not None
    message = told(held, "fleetbeat confirm kustomization apps -n team")
    assert message == (
        "deleting 7 of 7 objects needs a confirmation, nothing was deleted: ConfigMap/apps/c000, ConfigMap/apps/c001, "
        "ConfigMap/apps/c002, ConfigMap/apps/c003, ConfigMap/apps/c004 and 2 more. If they are meant to go, run "
        f"`fleetbeat confirm kustomization apps -n team` or set the annotation fleetbeat.io/confirm-prune: {held.code}"
    )
