"""Failures for want of a file name the symbolic link that would have been it."""

from __future__ import annotations

import pytest

from fleetbeat.errors import ArtifactFailed, BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.links import told
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

SAYS = "%s is a symbolic link, which artifacts do not carry: commit the file itself"


@pytest.mark.parametrize(
    ("kustomization", "path", "link", "error"),
    [
        ("resources: [a.yaml]", "app", "app/a.yaml", BuildFailed),
        ("resources: [../shared/base]", "app", "shared", BuildFailed),
        ("components: [c]", "app", "app/c", BuildFailed),
        ("configMapGenerator: [{name: x, files: [f/x.conf]}]", "app", "app/f", BuildFailed),
        ("{}", "deploy", "deploy", ArtifactFailed),
    ],
)
def test_what_a_build_misses_is_a_link(
    engine: Engine, pack: Pack, kustomization: str, path: str, link: str, error: type[Exception]
) -> None:
    """A file, a directory above it, a component, spec.path itself."""
    artifact = pack({"app/kustomization.yaml": kustomization})
    with pytest.raises(error) as failure, told([link, "other"].__contains__):
        render(engine, *artifact, {"path": path})
    assert str(failure.value).endswith(SAYS % link)


def test_what_is_simply_missing_stays_missing(engine: Engine, pack: Pack) -> None:
    """The very same error."""
    artifact = pack({"kustomization.yaml": "resources: [a.yaml]"})
    with pytest.raises(BuildFailed, match=r"'a\.yaml' is not in the source$"), told(["b.yaml"].__contains__):
        render(engine, *artifact, {})
