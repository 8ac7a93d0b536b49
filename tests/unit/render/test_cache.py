"""When a render is used again, and what the cache keeps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fleetbeat.errors import BuildFailed
from fleetbeat.render.cache import MAX_PER_QUESTION, RenderCache
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {x: '${X:-none}'}\n"
FILES = {
    "base/kustomization.yaml": "resources: [a.yaml]",
    "base/a.yaml": CM % "a",
    "app/kustomization.yaml": "resources: [../base]\nnamePrefix: app-",
    "plain/b.yaml": CM % "b",
    "other/c.yaml": CM % "c",
}


@pytest.mark.parametrize(
    ("path", "change", "cached"),
    [
        ("app", {"other/c.yaml": CM % "d"}, True),
        ("app", {"app/unlisted.yaml": CM % "d"}, True),
        ("app", {"base/a.yaml": CM % "d"}, False),
        ("app", {"app/kustomization.yaml": "resources: [../base]"}, False),
        ("plain", {"other/c.yaml": CM % "d"}, True),
        ("plain", {"plain/README.md": "x"}, False),
        ("plain", {"plain/deep/new.yaml": CM % "d"}, False),
        ("plain", {"plain/b.yaml": CM % "d"}, False),
        ("other", {"plain/kustomization.yaml": "resources: []"}, True),
    ],
)
def test_a_render_is_built_again_only_when_its_closure_changes(
    engine: Engine, pack: Pack, cache: RenderCache, path: str, change: dict[str, str], cached: bool
) -> None:
    """Another artifact with the same files where it matters gets the same render, one with other files a new one."""
    spec = {"path": path}
    first = render(engine, *pack(FILES), spec, cache=cache)
    assert not first.cached
    changed = pack(FILES | change)
    again = render(engine, *changed, spec, cache=cache)
    assert again.cached is cached
    assert again.objects == render(engine, *changed, spec).objects


def test_a_cached_render_does_not_hide_a_new_failure(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """What a build found absent belongs to the closure, so that a second kustomization file is noticed."""
    render(engine, *pack(FILES), {"path": "app"}, cache=cache)
    with pytest.raises(BuildFailed, match="multiple kustomization files under: base"):
        render(engine, *pack(FILES | {"base/Kustomization": "{}"}), {"path": "app"}, cache=cache)


def test_the_same_artifact_is_not_even_opened_again(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """A render that is known for a digest needs neither the engine nor the artifact."""
    artifact = pack(FILES)
    first = render(engine, *artifact, {"path": "app"}, cache=cache)
    artifact.file.unlink()
    again = render(engine, *artifact, {"path": "app"}, cache=cache)
    assert (again.objects, again.digest, again.cached) == (first.objects, first.digest, True)


@pytest.mark.parametrize(
    "part",
    [
        {"path": "base"},
        {"targetNamespace": "n"},
        {"namePrefix": "x-"},
        {"nameSuffix": "-x"},
        {"patches": [{"patch": "[]", "target": {"kind": "Secret"}}]},
        {"images": [{"name": "a", "newTag": "b"}]},
        {"buildMetadata": ["originAnnotations"]},
        {"components": ["gone"], "ignoreMissingComponents": True},
    ],
    ids=lambda part: next(iter(part)),
)
def test_every_part_of_the_spec_is_in_the_key(
    engine: Engine, pack: Pack, cache: RenderCache, part: dict[str, object]
) -> None:
    """A change of any spec part that takes part in a build asks another question."""
    artifact = pack(FILES)
    render(engine, *artifact, {"path": "app"}, cache=cache)
    assert not render(engine, *artifact, {"path": "app", **part}, cache=cache).cached


def test_fields_that_do_not_take_part_share_a_render(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """Interval, prune and the like, common metadata and variables work on the cached render."""
    artifact = pack(FILES)
    render(engine, *artifact, {"path": "app"}, cache=cache)
    spec = {"path": "app", "interval": "1m", "prune": True, "commonMetadata": {"labels": {"a": "b"}}}
    rendered = render(engine, *artifact, spec, {"X": "z"}, cache=cache)
    assert rendered.cached
    assert rendered.objects[0]["metadata"]["labels"] == {"a": "b"}
    assert rendered.objects[0]["data"] == {"x": "z"}


def test_variables_never_reach_the_disk(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """What is kept is the form before substitution."""
    render(engine, *pack(FILES), {"path": "app"}, {"X": "hunter2"}, cache=cache)
    kept = [file for file in cache.directory.rglob("*") if file.is_file()]
    assert kept
    assert not any(b"hunter2" in file.read_bytes() for file in kept)
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def test_a_damaged_or_lost_entry_costs_a_build(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """The cache is never needed."""
    artifact = pack(FILES)
    expected = render(engine, *artifact, {"path": "app"}, cache=cache).objects
    for file in cache.directory.rglob("*.json"):
        file.write_bytes(b"{nonsense")
    assert render(engine, *artifact, {"path": "app"}, cache=cache).objects == expected
    shutil.rmtree(cache.directory)
    assert render(engine, *artifact, {"path": "app"}, cache=cache).objects == expected
    cache.directory.chmod(0o700)


def test_the_cache_keeps_to_its_size(tmp_path: Path) -> None:
    """What was not used for longest goes first."""
    cache = RenderCache(tmp_path, max_bytes=100_000)
    for number in range(100):
        cache.put(f"{number:064}", {"a": "-"}, "sha256:0", b"x" * 5000)
        for file in (tmp_path / f"{number:064}"[:2] / f"{number:064}").glob("*.json"):
            os.utime(file, (number, number))
        cache.touch(cache.entries(f"{0:064}")[0], "sha256:0")
    kept = list(tmp_path.rglob("*.json"))
    assert sum(file.stat().st_size for file in kept) <= 110_000
    assert cache.entries(f"{0:064}"), "used all the time"
    assert cache.entries(f"{99:064}"), "the newest"
    assert not cache.entries(f"{1:064}")


def test_a_question_keeps_its_newest_renders(tmp_path: Path) -> None:
    """Several sources with one layout do not push each other out, but there is an end."""
    cache = RenderCache(tmp_path)
    for number in range(MAX_PER_QUESTION + 3):
        cache.put("q" * 64, {"a": f"h:{number}"}, f"sha256:{number}", b"{}")
        for file in tmp_path.rglob("*.json"):
            if f'"sha256:{number}"'.encode() in file.read_bytes():
                os.utime(file, (number, number))
    artifacts = [entry.artifact for entry in cache.entries("q" * 64)]
    assert artifacts == [f"sha256:{number}" for number in range(MAX_PER_QUESTION + 2, 2, -1)]
