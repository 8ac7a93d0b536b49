"""Builds that would never end or eat all memory: they fail alone, with a message, and the next build goes on."""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

import pytest

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%s}\ndata: {x: y}\n"
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + of] * 9)}]\n" for of, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOUNDED = "end within|lack of memory"  # whichever bound a machine comes to first
MULTIPLY = "its YAML aliases multiply beyond measure"
COPIES = [{"op": "copy", "from": "/data", "path": f"/data/k{n}"} for n in range(40)]
BASES = {"d0/kustomization.yaml": "resources: [../a.yaml]", "a.yaml": CM % ""}
for _n in range(1, 24):
    for _side in "ab":
        BASES[f"d{_n}{_side}/kustomization.yaml"] = f"resources: [../d{_n}]\nnamePrefix: {_side}-\n"
    _below = "../d0" if _n == 1 else f"../d{_n - 1}a, ../d{_n - 1}b"
    BASES[f"d{_n}/kustomization.yaml"] = f"resources: [{_below}]\n"
INLINE = indent(CM % "" + ALIASES, "    ")


@pytest.mark.parametrize(
    ("files", "spec", "message"),
    [
        ({"a.yaml": CM % "" + ALIASES}, {}, f"^a.yaml: {MULTIPLY}"),
        ({"a.yaml": CM % "", "kustomization.yaml": f"resources: [a.yaml]\n{ALIASES}"}, {}, "aliasing|aliases"),
        ({"a.yaml": CM % ""}, {"patches": [{"patch": CM % "" + ALIASES}]}, MULTIPLY),
        (
            {"a.yaml": CM % "", "kustomization.yaml": f"resources: [a.yaml]\npatches:\n- patch: |-\n{INLINE}"},
            {},
            MULTIPLY,
        ),
        ({"a.yaml": f"{CM % ''}x: {'[' * 100_000}{']' * 100_000}\n"}, {}, "max depth"),
        (
            {"a.yaml": CM % ""},
            {"patches": [{"target": {"kind": "ConfigMap"}, "patch": json.dumps(COPIES)}]},
            BOUNDED,
        ),
        (BASES, {"path": "d23"}, BOUNDED),
        ({f"{n}.yaml": ("---\n" + CM % "") * 10_000 for n in range(10)}, {}, "more than 20000 objects; split it"),
    ],
    ids=["aliases", "file", "spec-patch", "file-patch", "depth", "copies", "bases", "objects"],
)
def test_a_build_beyond_measure_fails_alone(
    engine_binary: Any, pack: Pack, files: dict[str, str], spec: dict[str, Any], message: str
) -> None:
    """In its time, with a message; whoever comes next is served."""
    with Engine(engine_binary) as engine:
        with pytest.raises(BuildFailed, match=message):
            render(engine, *pack(files), spec, timeout=5)
        assert render(engine, *pack({"a.yaml": CM % ""}), {}).objects


def test_aliases_within_measure_are_welcome(engine: Engine, pack: Pack) -> None:
    """Anchors are a common way to write labels once."""
    labels = "".join(f"  l{n}: &l{n} {{a: b}}\n  m{n}: *l{n}\n" for n in range(200))
    manifest = f"apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: a}}\nspec:\n{labels}"
    assert len(render(engine, *pack({"a.yaml": manifest}), {}).objects[0]["spec"]) == 400


def test_the_end_of_a_long_message_stays(engine: Engine, pack: Pack) -> None:
    """The cause is behind the way to it."""
    chain = {f"d{n}/kustomization.yaml": f"resources: [../d{n - 1}]\n" for n in range(1, 60)}
    with pytest.raises(BuildFailed, match=r"of path 'd0': .*'d0/none\.yaml' is not in the source$") as failure:
        render(engine, *pack({**chain, "d0/kustomization.yaml": "resources: [none.yaml]\n"}), {"path": "d59"})
    assert len(failure.value.message) < 500
