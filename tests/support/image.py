"""The container image without a container: what the Dockerfile installs, in an environment of its own.

A process of it sees the environment that it is given and nothing of this checkout, of the development packages or of
the user's home.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import binaries
from workers.embedded.process import Server

ROOT = binaries.ROOT
ENGINE = "fleetbeat/render/bin/fleetbeat-engine"
RENDER = """
import hashlib, io, tarfile
from pathlib import Path
from fleetbeat.render.engine import Engine, find_binary

print(find_binary())
text = b"apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: hello}\\n"
file = Path("artifact.tar.gz")
with tarfile.open(file, "w:gz") as archive:
    member = tarfile.TarInfo("hello.yaml")
    member.size = len(text)
    archive.addfile(member, io.BytesIO(text))
engine = Engine()
built = engine.build(file.absolute(), "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(), "./", {})
print(bytes(built.objects).decode())
engine.close()
"""
"""Prints where the engine is, then what it makes of an artifact."""


def build_wheel(directory: Path) -> Path:
    """The second stage: what .dockerignore lets through, the engine at its place. Returns the wheel."""
    source = directory / "context"
    for name in re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE):
        _copy(ROOT / name, source / name)
    engine = source / ENGINE
    engine.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(binaries.find(binaries.ENGINE), engine)
    return hatch(source, directory / "dist")


def hatch(source: Path, target: Path, **env: str) -> Path:
    """Build the wheel of the project in `source`."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    run(command, cwd=source, env={**_without_engine(), **env})
    (wheel,) = target.glob("*.whl")
    return wheel


def _without_engine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "FLEETBEAT_ENGINE"}


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "bin"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@dataclass(frozen=True)
class Image:
    """The third stage: an environment of its own with the locked dependencies and the wheel."""

    home: Path

    @classmethod
    def build(cls, directory: Path, wheel: Path) -> Image:
        """Install; packages come from the installer's cache where it has them."""
        venv.create(directory, with_pip=False, symlinks=True)
        image = cls(directory)
        image.pip("install", "--no-deps", "--require-hashes", "--requirement", str(ROOT / "requirements-runtime.lock"))
        image.pip("install", "--no-deps", str(wheel))
        return image

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.home / "bin" / "python"

    def pip(self, command: str, *arguments: str) -> str:
        """Run uv where there is one, else pip; both without leaving the cache, when that is enough."""
        uv = shutil.which("uv")
        if not uv:
            return run([sys.executable, "-m", "pip", "--python", str(self.python), command, *arguments])
        tool = [uv, "pip", command, "--python", str(self.python), *arguments]
        offline = subprocess.run([*tool, "--offline"], capture_output=True, text=True, check=False)
        return offline.stdout if offline.returncode == 0 else run(tool)

    def environment(self, scratch: Path, env: Mapping[str, str]) -> dict[str, str]:
        """What a process sees: the Dockerfile's variables under `env`, with the scratch folder in place of /tmp."""
        own = {name: value.replace("/tmp", str(scratch)) for name, value in dockerfile_env().items()}
        return {"PATH": f"{self.home / 'bin'}:/usr/bin:/bin", "TMPDIR": str(scratch), **own, **env}

    def argv(self, arguments: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        """The container's process: entry point and arguments, in exactly this environment."""
        scratch.mkdir(parents=True, exist_ok=True)
        entry = [word for word in dockerfile("ENTRYPOINT") if word not in ("tini", "--")]
        variables = [f"{name}={value}" for name, value in self.environment(scratch, env).items()]
        program = str(self.home / "bin" / entry[0])
        return ["/usr/bin/env", "-i", f"--chdir={scratch}", *variables, program, *entry[1:], *arguments]

    def run(self, *arguments: str, scratch: Path, env: Mapping[str, str] | None = None) -> str:
        """Run to its end and return its output; fails the test when it fails."""
        return run(self.argv(arguments, scratch, env or {}))

    def server(self, name: str, arguments: Sequence[str], scratch: Path, env: Mapping[str, str]) -> Server:
        """A process that stays."""
        return Server(name, self.argv(arguments, scratch, env), scratch.parent / f"{name}.log")


def dockerfile(instruction: str) -> list[str]:
    """The words of the last such instruction of the Dockerfile, in JSON form or plain."""
    found = re.findall(rf"^{instruction} (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    return [str(word) for word in json.loads(found)] if found.startswith("[") else shlex.split(found)


def dockerfile_env() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(pair.split("=", 1) for pair in dockerfile("ENV"))


def run(command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; fails the test with its output when it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{' '.join(command[-4:])}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
