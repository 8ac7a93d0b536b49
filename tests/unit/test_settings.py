"""Settings from the environment, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.errors import InvalidSpec
from fleetbeat.settings import Settings

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS", "", "custom_apply_stage_kinds", ()),
        (
            "FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS",
            "rbac.authorization.k8s.io/Role, Secret",
            "custom_apply_stage_kinds",
            ("rbac.authorization.k8s.io/Role", "Secret"),
        ),
        ("FLEETBEAT_OVERRIDE_MANAGERS", "dashboard,Lens", "override_managers", ("dashboard", "Lens")),
        ("FLEETBEAT_OVERRIDE_MANAGERS", " , ", "override_managers", ()),
    ],
)
def test_lists_are_words_between_commas(name: str, text: str, field: str, value: Any) -> None:
    """Blanks around words do not count, and nothing is nothing."""
    assert getattr(Settings.from_env({name: text}), field) == value


@pytest.mark.parametrize("text", ["a/b/c", "apps/", "/Deployment"])
def test_a_kind_that_is_none_is_refused_at_the_start(text: str) -> None:
    """A process with a wrong setting says so instead of applying in another order."""
    with pytest.raises(InvalidSpec, match="FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS"):
        Settings.from_env({"FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS": text})
