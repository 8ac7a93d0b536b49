"""Selectors of a spec's targets, in the grammar that kubectl takes."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.api.appliers import Selector
from fleetbeat.errors import InvalidSpec
from fleetbeat.kube.selectors import compile_selector, label_selector

WEB: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "2"}, "annotations": {"a": "b"}},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("!other", True),
        ("app=web", True),
        ("app == web", True),
        ("app=w", False),
        ("app!=web", False),
        ("other!=web", True),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("other notin (db)", True),
        ("tier>1", True),
        ("tier > 2", False),
        ("tier<3", True),
        ("app>1", False),
        ("app=web,tier in (1,2),!old", True),
        ("app=web, tier=3", False),
        ("app=", False),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    """Equality, sets, presence and comparison, joined by commas."""
    assert label_selector(text, "here")(WEB["metadata"]["labels"]) is matches


@pytest.mark.parametrize("text", ["=web", "app=web,", "app in web", "app=(a)", "a b", "!", "tier>two", "app in (a"])
def test_what_is_no_label_selector_is_named(text: str) -> None:
    """The message says where it stands."""
    with pytest.raises(InvalidSpec, match=r"spec\.here"):
        label_selector(text, "spec.here")


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (Selector(), True),
        (Selector(kind="Deployment"), True),
        (Selector(kind="Deploy"), False),
        (Selector(kind="Deploy.*|Job"), True),
        (Selector(group="apps", version="v1", name="w.b", namespace="shop"), True),
        (Selector(group="batch"), False),
        (Selector(name="webs"), False),
        (Selector(label_selector="app=web", annotation_selector="a=b"), True),
        (Selector(annotation_selector="a!=b"), False),
    ],
)
def test_targets(selector: Selector, matches: bool) -> None:
    """Patterns match whole names; what is not set matches all."""
    assert compile_selector(selector, "here")(WEB) is matches


def test_a_pattern_that_does_not_compile_is_named() -> None:
    """With the field that holds it."""
    with pytest.raises(InvalidSpec, match=r"spec\.ignore\[0\]\.target\.name"):
        compile_selector(Selector(name="("), "spec.ignore[0].target")
