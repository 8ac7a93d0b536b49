"""What is shipped, made once a session: the wheel and the image it is installed in; and a hub to run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import container
from tests.support.container import Container
from tests.support.image import Image, build_wheel
from tools.clusters import Cluster, ClusterSet
from workers.cli import install
from workers.cli.connect import Access


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the Dockerfile builds."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The wheel and its locked dependencies in an environment of their own."""
    return Image.build(tmp_path_factory.mktemp("image"), wheel)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> Image:
    """What roles are run from: the image that `FLEETBEAT_IMAGE` names, else the same without containers."""
    if container.NAME:
        return Container(Path("/"), container.NAME)
    found: Image = request.getfixturevalue("installed")
    return found


@pytest.fixture(scope="module")
def hub() -> Iterator[Cluster]:
    """A cluster with Fleetbeat's definitions, where nothing else is reconciled."""
    with ClusterSet("hub", audit=True) as clusters:
        install.run(Access(clusters["hub"].kubeconfig, None, "flux-system"), force=False, timeout=60)
        yield clusters["hub"]
