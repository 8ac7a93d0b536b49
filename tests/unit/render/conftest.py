"""The engine's child, artifacts to feed it, and kubectl as the oracle for what must come out."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fleetbeat.render.cache import RenderCache
from fleetbeat.render.engine import Engine
from tools import binaries


class Packed(NamedTuple):
    """An artifact on disk."""

    file: Path
    digest: str


Pack = Callable[..., Packed]
Oracle = Callable[[Mapping[str, str], str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def engine_binary() -> Path:
    """The engine's program, built when its sources have changed."""
    return binaries.find(binaries.ENGINE)


@pytest.fixture(scope="session")
def engine(engine_binary: Path) -> Iterator[Engine]:
    """A shared child."""
    with Engine(engine_binary) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> RenderCache:
    """An empty cache."""
    return RenderCache(tmp_path / "renders")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """`pack(files, links={})`: an artifact of path → content and of symbolic links path → target."""

    def make(files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None) -> Packed:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in files.items():
                raw = content.encode() if isinstance(content, str) else content
                entry = tarfile.TarInfo(name)
                entry.size = len(raw)
                archive.addfile(entry, io.BytesIO(raw))
            for name, target in (links or {}).items():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                archive.addfile(entry)
        digest = hashlib.sha256(packed.getvalue()).hexdigest()
        file = tmp_path / f"{digest}.tar.gz"
        file.write_bytes(packed.getvalue())
        return Packed(file, f"sha256:{digest}")

    return make


def kubectl(*arguments: str, stdin: str = "") -> str:
    """Output of kubectl without a cluster, a home or an environment."""
    program = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [program, *arguments], input=stdin, env={"HOME": "/nonexistent"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_objects(manifests: str) -> list[dict[str, Any]]:
    """Manifests as kubectl reads them; the mark that makes it print them is taken off again."""
    output = kubectl("annotate", "--local", "--filename=-", "--output=json", "oracle=mark", stdin=manifests)
    objects, rest = [], output.strip()
    while rest:
        obj, end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:].strip()
        annotations = obj["metadata"]["annotations"]
        del annotations["oracle"]
        if not annotations:
            del obj["metadata"]["annotations"]
        objects.append(obj)
    return objects


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    """`oracle(files, path)`: the objects that `kubectl kustomize` makes of a directory on disk."""

    def build(files: Mapping[str, str], path: str) -> list[dict[str, Any]]:
        root = tmp_path / "oracle"
        for name, content in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return read_objects(kubectl("kustomize", str(root / path), "--load-restrictor=LoadRestrictionsNone"))

    return build
