"""Which renders a new artifact leaves as they are: what a build saw, and nothing else, decides."""

from __future__ import annotations

import pytest

from fleetbeat.render.cache import RenderCache
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.unmoved import unmoved
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n"
FILES = {
    "app/kustomization.yaml": "resources: [../base]\n",
    "base/kustomization.yaml": "resources: [a.yaml]\n",
    "base/a.yaml": CONFIG_MAP,
    "plain/b.yaml": CONFIG_MAP,
    "other/c.yaml": CONFIG_MAP,
}
SPECS = [{"path": "app"}, {"path": "plain"}]


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"other/c.yaml": None, "README.md": "new"}, [True, True]),
        ({"base/a.yaml": CONFIG_MAP.replace("1", "2")}, [False, True]),
        ({"plain/more.yaml": CONFIG_MAP}, [True, False]),
        ({"plain/notes.txt": "a directory that is listed has another entry"}, [True, False]),
        ({"base/Kustomization": "{}"}, [False, True]),
        ({"plain/b.yaml": None, "plain/moved.yaml": CONFIG_MAP}, [True, False]),
    ],
)
def test_only_what_a_build_saw_moves_it(
    engine: Engine, pack: Pack, cache: RenderCache, change: dict[str, str | None], holds: list[bool]
) -> None:
    """Files that no build read may come and go; one that was looked for and absent may not appear."""
    keys = [render(engine, *pack(FILES), spec, cache=cache).key for spec in SPECS]
    after = {name: text for name, text in (FILES | change).items() if text is not None}
    assert unmoved(engine, cache, *pack(after), list(zip(SPECS, keys, strict=True))) == holds


def test_what_is_not_kept_counts_as_moved(engine: Engine, pack: Pack, cache: RenderCache) -> None:
    """Another question, an unknown key, and no key at all."""
    artifact = pack(FILES)
    key = render(engine, *artifact, SPECS[0], cache=cache).key
    asked = [(SPECS[0], key), ({"path": "app", "namePrefix": "x-"}, key), (SPECS[0], "0" * 32), (SPECS[0], "")]
    assert unmoved(engine, cache, *artifact, asked) == [True, False, False, False]
    assert unmoved(engine, cache, *artifact, asked[1:]) == [False, False, False]
