"""Every field of a kustomization file, each in a small tree of its own, built as kubectl builds it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from tests.support.kustomizations import CM, FEATURES, TREE
from tests.unit.render.conftest import Oracle, Pack
from tests.unit.render.test_kustomize import by_id

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", FEATURES)
def test_each_feature_is_built_as_kubectl_builds_it(engine: Engine, pack: Pack, oracle: Oracle, name: str) -> None:
    """Object for object what `kubectl kustomize` makes of the same files."""
    kustomization, more = FEATURES[name]
    files = TREE | {"kustomization.yaml": kustomization, **more}
    assert by_id(render(engine, *pack(files), {}).objects) == by_id(oracle(files, "."))


def test_an_own_schema_comes_on_top_of_kubernetes_own(engine: Engine, pack: Pack) -> None:
    """As with Flux: Pods still merge by name. kubectl alone would forget Kubernetes' own schema."""
    patch = "- patch: '{apiVersion: %s, kind: %s, metadata: {name: web}, spec: {%s: [{name: a, image: new}]}}'\n"
    parts = "[{name: a, image: x}, {name: b, image: y}]"
    schema: dict[str, Any] = {
        "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Thing", "version": "v1"}],
        "properties": {
            "spec": {
                "properties": {
                    "parts": {
                        "type": "array",
                        "items": {"type": "object"},
                        "x-kubernetes-patch-merge-key": "name",
                        "x-kubernetes-patch-strategy": "merge",
                    }
                }
            }
        },
    }
    files = {
        "kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: schema.json}\npatches:\n"
        + patch % ("example.com/v1", "Thing", "parts")
        + patch % ("v1", "Pod", "containers"),
        "a.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: web}\nspec: {parts: " + parts + "}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: " + parts + "}\n",
        "schema.json": json.dumps({"definitions": {"com.example.v1.Thing": schema}}),
    }
    merged = [{"name": "a", "image": "new"}, {"name": "b", "image": "y"}]
    rendered = by_id(render(engine, *pack(files), {}).objects)
    assert [obj["spec"] for obj in rendered] == [{"containers": merged}, {"parts": merged}]
    plain = {**files, "kustomization.yaml": files["kustomization.yaml"].replace("openapi: {path: schema.json}\n", "")}
    after = by_id(render(engine, *pack(plain), {}).objects)
    assert after[1]["spec"] == {"parts": [{"name": "a", "image": "new"}]}, "a schema stays with its own build"


ORIGIN = "config.kubernetes.io/origin"


def test_a_file_of_generators_alone_marks_where_they_are(engine: Engine, pack: Pack) -> None:
    """Flux does so, and to leave it out would change every such object on a cluster that comes from it."""
    files = {"kustomization.yaml": "configMapGenerator: [{name: a, literals: [b=c]}]\n"}
    marked = "configuredIn: kustomization.yaml\nconfiguredBy:\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n"
    assert render(engine, *pack(files), {}).objects[0]["metadata"]["annotations"] == {ORIGIN: marked}
    metadata = render(engine, *pack(files), {"buildMetadata": ["managedByLabel"]}).objects[0]["metadata"]
    assert "annotations" not in metadata


def test_an_empty_file_builds_nothing(engine: Engine, pack: Pack) -> None:
    """As with Flux; kustomize alone would call it an error."""
    assert render(engine, *pack({"kustomization.yaml": "{}", "a.yaml": CM % "a"}), {}).objects == []


@pytest.mark.parametrize(
    ("in_file", "in_spec", "image"),
    [
        ("newTag: '1'", {"newTag": "2"}, "x:2"),
        ("newName: w, newTag: '1'", {"newTag": "2"}, "w:2"),
        ("newName: w, newTag: '1'", {"newName": "z"}, "z:1"),
        ("digest: 'sha256:11'", {"newTag": "2"}, "x:2"),
        ("newTag: '1'", {"digest": "sha256:22"}, "x@sha256:22"),
        ("digest: 'sha256:11'", {"newName": "z"}, "z@sha256:11"),
        ("newTag: '1'", {"newName": "z", "newTag": "2", "digest": "sha256:22"}, "z:2@sha256:22"),
    ],
)
def test_images_of_spec_and_file_combine(
    engine: Engine, pack: Pack, in_file: str, in_spec: dict[str, str], image: str
) -> None:
    """The name from either, tag and digest as one from the spec where it has any, since an old digest would win."""
    files = {
        "kustomization.yaml": f"resources: [p.yaml]\nimages: [{{name: x, {in_file}}}]\n",
        "p.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: 'x:0'}]}\n",
    }
    rendered = render(engine, *pack(files), {"images": [{"name": "x", **in_spec}]})
    assert rendered.objects[0]["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: c, literals: [x=y]}]",
          "a.yaml": CM % "c"},
         r"a generated object: ConfigMap /c exists; can not use behavior"),
        ({"kustomization.yaml": "resources: [b]", "b/a.yaml": CM % "a"},
         r"^kustomize build of kustomization\.yaml: accumulating resources: couldn't make target for path 'b'"),
        ({"kustomization.yaml": "resources: [b]", "b/kustomization.yaml": "includeTemplates: x"},
         r'unknown field "includeTemplates"'),
        ({"kustomization.yaml": "resources: {a: b}\nodd: x"}, r"kustomization\.yaml: .*cannot unmarshal object"),
        ({"a.yaml": (CM % "a") + "data: {c: d}\n"}, r'(?s)mapping key "data" already defined'),
        ({"a.yaml": (CM % "a").replace("{name: a}", "{name: a, labels: {n: 1}}"), "kustomization.yaml":
          "resources: [a.yaml]\ncommonLabels: {team: a}"}, r"ConfigMap/a: metadata\.labels\[n\] is not a string"),
    ],
    ids=["clash", "no-file", "unknown-field", "wrong-type", "duplicate-key", "label"],
)  # fmt: skip
def test_what_kustomize_says_is_made_readable(engine: Engine, pack: Pack, files: dict[str, str], message: str) -> None:
    """Files and objects stay, addresses and attempts that mean nothing go."""
    with pytest.raises(BuildFailed, match=message):
        render(engine, *pack(files), {})


@pytest.mark.parametrize("in_spec", [{}, {"namePrefix": "p-"}])
def test_an_unknown_field_of_the_top_file_is_left_out(engine: Engine, pack: Pack, in_spec: dict[str, Any]) -> None:
    """As Flux does, so that its repositories build; the field is named, and nothing else of the file is lost."""
    files = {
        "kustomization.yaml": "x-common: &c {team: a}\nresources: [a.yaml]\ncommonAnnotations: *c",
        "a.yaml": CM % "a",
    }
    rendered = render(engine, *pack(files), in_spec)
    (made,) = rendered.objects
    assert made["metadata"]["annotations"] == {"team": "a"}
    assert made["metadata"]["name"] == f"{in_spec.get('namePrefix', '')}a"
    (note,) = rendered.notes
    assert note.startswith("kustomization.yaml: ") and 'unknown field "x-common"' in note
