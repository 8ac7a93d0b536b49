"""What a claim looks like as messages."""

from __future__ import annotations

import logging

import pytest

from beat.messages import Message, Routes
from fleetbeat.state import Claimed, Run, Sweep

pytestmark = pytest.mark.unit

ROUTES = Routes({"Kustomization": "apply.kustomization"}, {"apply": "apply.sweep"})


def test_a_run_is_readable_in_flower() -> None:
    """The id names ref and fence, the arguments the ref, the keyword arguments the reason."""
    claimed = Claimed([Run("Kustomization/apps/web", 42, "webhook", True)], [], 0)
    assert list(ROUTES.messages("apply-1", claimed)) == [
        Message(
            "apply-1",
            "apply.kustomization",
            "Kustomization/apps/web#42",
            ("apply-1", "Kustomization/apps/web", 42),
            "Kustomization/apps/web",
            "webhook",
        )
    ]


def test_a_sweep_names_its_cluster_and_size() -> None:
    """Five hundred refs are not printed."""
    claimed = Claimed([], [Sweep("k-1", 7, ["Kustomization/a/b", "Kustomization/a/c"])], 0)
    (message,) = ROUTES.messages("apply-1", claimed)
    assert message.args == ("apply-1", "k-1", 7, ["Kustomization/a/b", "Kustomization/a/c"], "")
    assert (message.task, message.id, message.what) == ("apply.sweep", "sweep/k-1#7", "k-1: 2 resources")


def test_a_kind_without_a_task_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The other refs of the claim go on."""
    routes = Routes({"Kustomization": "apply.kustomization"}, {"apply": "apply.sweep"})
    runs = [
        Run("Odd/apps/x", 1, "", False),
        Run("Odd/apps/y", 2, "", False),
        Run("Kustomization/apps/web", 3, "", False),
    ]
    with caplog.at_level(logging.ERROR):
        messages = list(routes.messages("apply-1", Claimed(runs, [], 0)))
    assert [(m.what, m.why) for m in messages] == [("Kustomization/apps/web", "interval")]
    assert caplog.text.count("kind Odd") == 1
