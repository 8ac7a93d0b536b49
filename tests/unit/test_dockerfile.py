"""What the Dockerfile copies exists and reaches the builder, and what it installs is locked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.image import ROOT, dockerfile, dockerfile_env

pytestmark = pytest.mark.unit

TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LET_IN = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)


def test_only_what_is_named_reaches_the_builder() -> None:
    """.dockerignore leaves out everything, then lets in files and folders that exist."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert [name for name in LET_IN if not (ROOT / name).exists()] == []
    assert not {"tests", "tools", "bench", "compose.yaml", ".git"} & set(LET_IN)


def test_what_is_copied_is_let_in() -> None:
    """Every source of a COPY from this checkout."""
    sources = [word for words in _copies() for word in words[:-1] if word != "."]
    assert {"engine/", "requirements-runtime.lock"} < set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(name) for name in LET_IN), source


def test_the_build_has_all_that_the_package_is_made_of() -> None:
    """The packages of the wheel, its readme, its license and its build hook."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = [*wheel["packages"], PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "hatch_build.py"]
    assert {"fleetbeat", "tasks", "beat", "workers", "pyproject.toml"} < set(LET_IN)
    assert set(named) < set(LET_IN)


def test_any_builder_will_do() -> None:
    """No frontend to download and no mounts, which some builders lack or cache wrongly; base images can be replaced."""
    assert not re.search(r"^#\s*(syntax|escape)=", TEXT, re.MULTILINE)
    assert "--mount" not in TEXT
    stages = re.findall(r"^FROM (?:--platform=\S+ )?(\S+)", TEXT, re.MULTILINE)
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", TEXT.split("\nFROM ")[0], re.MULTILINE))
    assert {stage.removeprefix("$") for stage in stages} == set(defaults)
    assert all(re.fullmatch(r"docker\.io/library/\w+:[\w.-]+", image) for image in defaults.values())


def test_all_that_is_installed_is_locked() -> None:
    """pip gets locks with hashes or this project, and looks for dependencies nowhere else."""
    assert "PIP_NO_DEPS=1" in TEXT
    calls = re.findall(r"pip install (.+?)(?= && |$)", TEXT, re.MULTILINE)
    for call in calls:
        locked = "--require-hashes" in call and re.search(r"-r requirements-(runtime|build)\.lock", call)
        assert locked or ("--no-build-isolation" in call and call.split()[-1] == "."), call
    assert len(calls) == 3


def test_the_locks_hold_what_the_image_needs() -> None:
    """The build backend; the package's own dependencies and those of the clouds' logins."""
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *extras["gcp"], *extras["azure"]]
    assert _names(asked) <= _pinned("requirements-runtime.lock")
    assert _names(PROJECT["build-system"]["requires"]) <= _pinned("requirements-build.lock")


def test_the_user_is_the_charts() -> None:
    """By number, which Kubernetes needs to see that it is not root; what it writes is under /tmp."""
    template = (ROOT / "charts/fleetbeat/templates/deployments.yaml").read_text()
    user, group = re.findall(r"runAs(?:User|Group): (\d+)", template)
    assert dockerfile("USER") == [f"{user}:{group}"]
    assert f"groupadd --gid {group} " in TEXT
    assert f"useradd --uid {user} --gid {group} " in TEXT
    assert dockerfile("WORKDIR") == ["/tmp"]
    assert dockerfile_env()["HOME"] == "/tmp"


def test_compose_builds_this_file_under_the_name_of_make_image() -> None:
    """`make image` and `docker compose up --build` make the same image."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["hub"]
    assert service["build"] == "."
    assert f"IMAGE ?= {service['image']}\n" in (ROOT / "Makefile").read_text()


def _copies() -> list[list[str]]:
    """The words of each COPY that takes from this checkout."""
    return [words.split() for words in re.findall(r"^COPY (?!--from)(.+)$", TEXT, re.MULTILINE)]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def _pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[^\]]+\])?==", (ROOT / lock).read_text(), re.MULTILINE))
