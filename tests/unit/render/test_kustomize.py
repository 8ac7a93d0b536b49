"""Builds through the real child, compared with what kubectl makes of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleetbeat.errors import ArtifactFailed, BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from tests.support.kustomizations import DEPLOYMENT, SERVICE
from tests.unit.render.conftest import Oracle, Pack

pytestmark = pytest.mark.unit

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"
BASE = {
    "apps/base/deployment.yaml": DEPLOYMENT,
    "apps/base/service.yaml": SERVICE,
    "apps/base/kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n"
    "configMapGenerator: [{name: settings, literals: [a=b], files: [app.conf]}]\n",
    "apps/base/app.conf": "x = 1\ny = 2\n",
}
OVERLAY = BASE | {
    "shared/limits.yaml": "apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits}\nspec: {limits: []}\n",
    "apps/production/replicas.yaml": "apiVersion: apps/v1\nkind: Deployment\n"
    "metadata: {name: web}\nspec: {replicas: 3}\n",
    "apps/production/kustomization.yaml": """\
resources: [../base, ../../shared/limits.yaml]
namespace: production
namePrefix: p-
labels: [{pairs: {tier: front}, includeSelectors: true}]
patches: [{path: replicas.yaml}]
images: [{name: nginx, newTag: "1.27"}]
components: [../../components/probes]
replacements:
  - source: {kind: Service, name: web, fieldPath: metadata.name}
    targets: [{select: {kind: LimitRange}, fieldPaths: [metadata.annotations.service], options: {create: true}}]
""",
    "components/probes/kustomization.yaml": """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {kind: Deployment}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/readinessProbe, value: {httpGet: {port: 80}}}
""",
}
CUSTOM = {
    "kustomization.yaml": "resources: [thing.yaml]\nnamespace: x\ncommonAnnotations: {a: b}\n",
    "thing.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n"
    'spec: {a: yes, b: 017, c: 0o17, d: 1_000, e: 0x1F, f: 1e3, g: 1.0, h: 2001-01-01, i: ~, j: .5, k: "yes", '
    "l: y, m: 0.1, n: 100000000000000000000, o: -0, p: 1:30, q: off}\n---\n"
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: in-list}}]\n",
}


def by_id(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects in an order that both sides share."""
    return sorted(objects, key=lambda obj: (obj["kind"], obj["metadata"]["name"]))


@pytest.mark.parametrize(
    ("files", "path"),
    [(BASE, "apps/base"), (OVERLAY, "apps/production"), (CUSTOM, ".")],
    ids=["base", "overlay", "custom"],
)
def test_a_kustomization_is_built_as_kubectl_builds_it(
    engine: Engine, pack: Pack, oracle: Oracle, files: dict[str, str], path: str
) -> None:
    """Bases, components, generators, patches, replacements and YAML's odd scalars come out as kubectl has them."""
    assert by_id(render(engine, *pack(files), {"path": path}).objects) == by_id(oracle(files, path))


SPEC: dict[str, Any] = {
    "targetNamespace": "tenant",
    "namePrefix": "a-",
    "nameSuffix": "-z",
    "buildMetadata": ["originAnnotations"],
    "components": ["../../components/probes"],
    "images": [{"name": "nginx", "newName": "mirror/nginx"}, {"name": "busybox", "digest": "sha256:" + "0" * 64}],
    "patches": [
        {"patch": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 7}\n"},
        {
            "patch": "- {op: add, path: /metadata/labels/patched, value: 'yes'}",
            "target": {"kind": "Deployment", "labelSelector": "app=web"},
        },
    ],
}
AS_FILE = """\
resources: [../base, ../../shared/limits.yaml]
namespace: tenant
namePrefix: a-
nameSuffix: -z
labels: [{pairs: {tier: front}, includeSelectors: true}]
buildMetadata: [originAnnotations]
images:
  - {name: nginx, newTag: "1.27", newName: mirror/nginx}
  - {name: busybox, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
components: [../../components/probes, ../../components/probes]
patches:
  - path: replicas.yaml
  - patch: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 7}}"
  - patch: "- {op: add, path: /metadata/labels/patched, value: 'yes'}"
    target: {kind: Deployment, labelSelector: app=web}
replacements:
  - source: {kind: Service, name: web, fieldPath: metadata.name}
    targets: [{select: {kind: LimitRange}, fieldPaths: [metadata.annotations.service], options: {create: true}}]
"""


def test_the_spec_extends_the_kustomization_file(engine: Engine, pack: Pack, oracle: Oracle) -> None:
    """Spec fields act as if they stood in the file: images merge by name, patches and components are appended."""
    rendered = render(engine, *pack(OVERLAY), {"path": "./apps/production", **SPEC})
    expected = oracle(OVERLAY | {"apps/production/kustomization.yaml": AS_FILE}, "apps/production")
    assert by_id(rendered.objects) == by_id(expected)


PLAIN = {
    "deploy/one.yaml": CONFIG % "one" + "---\n" + CONFIG % "two",
    "deploy/sub/three.yml": CONFIG % "three",
    "deploy/sub/deeper/four.yaml": CONFIG % "four",
    "deploy/own/kustomization.yaml": "resources: [five.yaml]\nnamePrefix: own-\n",
    "deploy/own/five.yaml": CONFIG % "five",
    "deploy/own/unlisted.yaml": CONFIG % "unlisted",
    "deploy/comments.yaml": "# nothing here\n",
    "deploy/README.md": "no manifest",
    "elsewhere/six.yaml": CONFIG % "six",
}


def test_without_a_kustomization_file_one_is_generated(engine: Engine, pack: Pack, oracle: Oracle) -> None:
    """All YAML files below the path are taken, a subdirectory with a kustomization file of its own as one entry."""
    file = "resources: [comments.yaml, one.yaml, own, sub/deeper/four.yaml, sub/three.yml]\nnamespace: 'n'\n"
    rendered = render(engine, *pack(PLAIN), {"path": "/deploy/", "targetNamespace": "n"})
    assert by_id(rendered.objects) == by_id(oracle(PLAIN | {"deploy/kustomization.yaml": file}, "deploy"))


@pytest.mark.parametrize("spec", [{}, {"targetNamespace": "x", "namePrefix": "x-"}], ids=["bare", "decorated"])
def test_a_directory_without_manifests_renders_to_nothing(engine: Engine, pack: Pack, spec: dict[str, Any]) -> None:
    """No manifest is no failure."""
    assert render(engine, *pack({"docs/README.md": ""}), {"path": "docs", **spec}).objects == []


def test_missing_components_are_dropped_only_when_allowed(engine: Engine, pack: Pack) -> None:
    """ignoreMissingComponents decides between a failure that names the component and going on."""
    artifact = pack({"a.yaml": CONFIG % "a"})
    with pytest.raises(BuildFailed, match=r'spec\.components: .* "gone"'):
        render(engine, *artifact, {"components": ["gone"]})
    rendered = render(engine, *artifact, {"components": ["gone"], "ignoreMissingComponents": True})
    assert [obj["metadata"]["name"] for obj in rendered.objects] == ["a"]


def test_common_metadata_wins_over_the_objects_own(engine: Engine, pack: Pack) -> None:
    """Labels and annotations of spec.commonMetadata are on every object, after the build."""
    common = {"labels": {"app": "mine", "team": "a"}, "annotations": {"note": "x"}}
    rendered = render(engine, *pack({"web.yaml": DEPLOYMENT}), {"commonMetadata": common})
    metadata = rendered.objects[0]["metadata"]
    assert metadata["labels"] == {"app": "mine", "team": "a"}
    assert metadata["annotations"] == {"note": "x"}


def test_the_digest_follows_the_content(engine: Engine, pack: Pack) -> None:
    """Equal objects have an equal digest, whatever artifact they come from; others have another."""
    first = render(engine, *pack({"a.yaml": CONFIG % "a"}), {}).digest
    again = render(engine, *pack({"a.yaml": CONFIG % "a", "README": ""}), {}).digest
    other = render(engine, *pack({"a.yaml": CONFIG % "b"}), {}).digest
    assert first == again != other
    assert first.startswith("sha256:")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("apps/none", r'spec\.path: the source has no directory "apps/none"; apps/ has base/, production/'),
        ("../../etc", r'spec\.path: the source has no directory "\.\./\.\./etc"; it has apps/'),
        ("apps/base/app.conf", r"is a file of the source, not a directory"),
    ],
)
def test_a_wrong_path_is_named_with_what_there_is(engine: Engine, pack: Pack, path: str, message: str) -> None:
    """The message says which directories exist instead."""
    with pytest.raises(ArtifactFailed, match=message):
        render(engine, *pack(OVERLAY), {"path": path})


CM = CONFIG % "a"
LISTED = {"d/cm.yaml": CM}


@pytest.mark.parametrize(
    ("files", "spec", "message"),
    [
        ({"d/x.yaml": "a: [b"}, {}, r"build of d: .*'x\.yaml': MalformedYAMLError: yaml: line 1"),
        ({"d/x.yaml": "foo: bar"}, {}, r"'x\.yaml': missing Resource metadata"),
        ({"d/x.yaml": "apiVersion: v1\nkind: Secret\n"}, {}, r"'x\.yaml': missing metadata\.name"),
        ({"d/x.yaml": CM, "d/y.yaml": CM}, {}, r"'y\.yaml': may not add resource with an already registered id"),
        (LISTED | {"d/kustomization.yaml": "resources: [no.yaml]"}, {}, r"'d/no\.yaml' is not in the source$"),
        (LISTED | {"d/kustomization.yaml": "resource: [cm.yaml]"}, {}, r"d/kustomization\.yaml: .*field \"resource\""),
        (LISTED | {"d/kustomization.yaml": "resources: [a"}, {}, r"d/kustomization\.yaml: .*yaml: line 1"),
        (LISTED | {"d/kustomization.yaml": "resources: [.]"}, {}, "cycle detected"),
        (LISTED | {"d/kustomization.yaml": "{}", "d/Kustomization": "{}"}, {}, "multiple kustomization files under: d"),
        (LISTED, {"patches": [{"patch": "a: ["}]}, "unable to parse SM or JSON patch"),
        (LISTED, {"patches": [{"patch": CONFIG % "zz"}]}, "no matches for Id ConfigMap"),
        (LISTED, {"components": ["/etc"]}, r'spec\.components: "/etc" must be a directory of the same source'),
        (LISTED, {"components": ["https://h/r"]}, r'spec\.components: "https://h/r" must be a directory'),
        (LISTED, {"components": ["../../x"]}, r'spec\.components: "\.\./\.\./x" leaves the source'),
    ],
)
def test_a_failed_build_names_file_and_problem(
    engine: Engine, pack: Pack, files: dict[str, str], spec: dict[str, Any], message: str
) -> None:
    """Whatever is wrong with the manifests is BuildFailed with the file or the field."""
    with pytest.raises(BuildFailed, match=message):
        render(engine, *pack(files), {"path": "d", **spec})


def test_a_failure_does_not_repeat_what_may_be_secret(engine: Engine, pack: Pack) -> None:
    """A malformed generator literal or inline patch is not quoted in the message."""
    for files, spec in (
        ({"kustomization.yaml": "secretGenerator: [{name: s, literals: [hunter2]}]"}, {}),
        ({"a.yaml": CM}, {"patches": [{"patch": "stringData: {password: hunter2}"}]}),
    ):
        with pytest.raises(BuildFailed) as failure:
            render(engine, *pack(files), spec)
        assert "hunter2" not in failure.value.message


def test_an_artifact_of_another_digest_is_refused(engine: Engine, pack: Pack) -> None:
    """The file must be what the source said."""
    artifact, other = pack({"a.yaml": CM}), pack({"b.yaml": CM})
    with pytest.raises(ArtifactFailed, match="instead of"):
        render(engine, artifact.file, other.digest, {})
    with pytest.raises(ArtifactFailed, match="cannot be read"):
        render(engine, Path("/nonexistent"), "sha256:" + "1" * 64, {})


@pytest.mark.parametrize(
    "manifest",
    [
        CM + "sops: {mac: 'ENC[AES256_GCM,data:x]', version: 3.9.0}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {x: 'ENC[AES256_GCM,data:abc]'}\n",
    ],
    ids=["object", "secret"],
)
def test_encrypted_objects_are_not_applied(engine: Engine, pack: Pack, manifest: str) -> None:
    """Without spec.decryption an encrypted object is a failure and not a broken Secret on the cluster."""
    with pytest.raises(BuildFailed, match="is encrypted with SOPS"):
        render(engine, *pack({"a.yaml": manifest}), {})


def test_an_encrypted_file_in_a_generator_is_not_applied(engine: Engine, pack: Pack) -> None:
    """The ciphertext would else become the Secret's value."""
    files = {
        "kustomization.yaml": "secretGenerator: [{name: s, envs: [x.env]}]",
        "x.env": "password=ENC[AES256_GCM,data:abc]\n",
    }
    with pytest.raises(BuildFailed, match=r"Secret/s-.* is encrypted with SOPS"):
        render(engine, *pack(files), {})
