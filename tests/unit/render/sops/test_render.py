"""Builds of sources with encrypted files: what must be plain afterwards, what may be cached, what is refused."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.errors import BuildFailed
from fleetbeat.render.cache import RenderCache
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import Rendered, render
from fleetbeat.render.sops.keys import Keys, keys_of
from tests.support.sopstool import SopsTool
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: team, labels: {z: first, a: last}}
type: Opaque
stringData:
  user: admin
  password: hunter2
  api: a
"""


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def one(rendered: Rendered) -> dict[str, Any]:
    (obj,) = rendered.objects
    return obj


def test_a_secret_is_plain_after_the_build(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Kustomize changes name, namespace, labels and the order of keys before; the block of sops is gone."""
    files = {
        "secret.yaml": tool.object(SECRET),
        "kustomization.yaml": "resources: [secret.yaml]\nnamePrefix: p-\nnamespace: other\n",
    }
    obj = one(render(engine, *pack(files), {}, keys=keys))
    assert obj["metadata"] == {"name": "p-login", "namespace": "other", "labels": {"z": "first", "a": "last"}}
    assert obj["stringData"] == {"user": "admin", "password": "hunter2", "api": "a"}
    assert obj.keys() == {"apiVersion", "kind", "metadata", "type", "stringData"}


def test_any_object_with_a_sops_block_is_decrypted(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """JSON files and several documents in one file too."""
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {key: %s}\n"
    two = config % ("a", "one") + "---\n" + config % ("b", "two")
    json = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": "three"}}'
    files = {"two.yaml": tool.object(two), "three.json": tool.object(json, "three.json")}
    files["kustomization.yaml"] = "resources: [two.yaml, three.json]"
    objects = render(engine, *pack(files), {}, keys=keys).objects
    assert [obj["data"]["key"] for obj in objects] == ["one", "two", "three"]


VALUES = {
    "app.yaml": "b: 1\na: [x, z]\n",
    "app.json": '{"b": "x", "a": 1}',
    "app.env": "A=b\nC=d e\n",
    "app.ini": "[s]\na = 1\n",
    "app.bin": "some bytes",
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("generated", [True, False], ids=["generator", "value"])
def test_an_encrypted_file_as_the_value_of_a_secret(
    engine: Engine, tool: SopsTool, keys: Keys, pack: Pack, name: str, generated: bool
) -> None:
    """The format is that of the key's ending, whether a generator reads the file or the value is in the manifest."""
    sealed = tool.encrypt(VALUES[name], name)
    if generated:
        files = {name: sealed, "kustomization.yaml": f"secretGenerator: [{{name: s, files: [{name}]}}]"}
    else:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {name: b64(sealed)}}
        files = {"secret.yaml": yaml.safe_dump(secret)}
    obj = one(render(engine, *pack(files), {}, keys=keys))
    assert base64.b64decode(obj["data"][name]) == tool.decrypt(sealed, name)


def test_generators_read_plain_files(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Variables of an env file and the hash in the name are those of the plain text, in a component as well."""
    env = "USER=admin\nPASSWORD=hunter2\n"
    overlay = "resources: [base]\ncomponents: [extra]\n"
    base = "secretGenerator: [{name: s, envs: [x.env, more]}]"
    extra = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nsecretGenerator: [{name: t, files: [k=y]}]"
    layout = {"kustomization.yaml": overlay, "base/kustomization.yaml": base, "extra/kustomization.yaml": extra}
    plain = {"base/x.env": env, "base/more": "TOKEN=t\n", "extra/y": "bytes"}
    sealed = {"base/x.env": tool.encrypt(env, "x.env"), "base/more": tool.encrypt("TOKEN=t\n", "more.env")}
    sealed["extra/y"] = tool.encrypt("bytes", "y")
    wanted = render(engine, *pack({**layout, **plain}), {}).objects
    assert render(engine, *pack({**layout, **sealed}), {}, keys=keys).objects == wanted


def test_patches_may_be_encrypted(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """The file of a strategic merge patch is decrypted before it is merged."""
    patch = "apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: team}\nstringData: {password: better}\n"
    files = {
        "secret.yaml": SECRET,
        "patch.yaml": tool.object(patch),
        "kustomization.yaml": "resources: [secret.yaml]\npatches: [{path: patch.yaml}]",
    }
    assert one(render(engine, *pack(files), {}, keys=keys))["stringData"]["password"] == "better"


def test_substitution_follows_decryption(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """An expression inside of an encrypted value is replaced."""
    text = SECRET.replace("hunter2", "${who}-pass")
    obj = one(render(engine, *pack({"s.yaml": tool.object(text)}), {}, {"who": "joe"}, keys=keys))
    assert obj["stringData"]["password"] == "joe-pass"


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_decryption_can_be_disabled_for_an_object(
    engine: Engine, tool: SopsTool, keys: Keys, pack: Pack, field: str
) -> None:
    """It stays as it is, for whoever decrypts it in the cluster; with keys or without."""
    marked = SECRET.replace("labels: {", f"{field}: {{kustomize.toolkit.fluxcd.io/decrypt: Disabled, ")
    artifact = pack({"s.yaml": tool.object(marked)})
    for given in (keys, None):
        obj = one(render(engine, *artifact, {}, keys=given))
        assert "sops" in obj
        assert obj["stringData"]["password"].startswith("ENC[")


def test_custom_resources_may_be_encrypted_for_their_own_controller(engine: Engine, tool: SopsTool, pack: Pack) -> None:
    """Without spec.decryption they are applied as they are, as in Flux."""
    text = "apiVersion: example.com/v1\nkind: SopsSecret\nmetadata: {name: a}\ndata: {x: y}\n"
    assert "sops" in one(render(engine, *pack({"s.yaml": tool.object(text)}), {}))


def test_caches_never_hold_plain_text(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack, tmp_path: Path) -> None:
    """Not of objects, and not of files that kustomize reads; what is encrypted is cached, and renders the same."""
    files = {
        "secret.yaml": tool.object(SECRET.replace("hunter2", "value-in-an-object")),
        "x.env": tool.encrypt("A=value-in-a-generator\n", "x.env"),
        "kustomization.yaml": "resources: [secret.yaml]\nsecretGenerator: [{name: s, envs: [x.env]}]",
    }
    artifact, cache = pack(files), RenderCache(tmp_path / "cache")
    first = render(engine, *artifact, {}, keys=keys, cache=cache)
    again = render(engine, *artifact, {}, keys=keys, cache=cache)
    assert first.objects == again.objects
    kept = b"".join(file.read_bytes() for file in (tmp_path / "cache").rglob("*") if file.is_file())
    assert b"ENC[" in base64.b64decode(re.search(rb'"text":"([^"]+)"', kept)[1])  # type: ignore[index]
    for secret in ("value-in-an-object", "value-in-a-generator"):
        assert secret.encode() not in kept
        for shift in range(3):  # in base64, at any place of a longer text
            assert b64(" " * shift + secret)[4:-4].encode() not in kept


def test_a_render_without_generators_comes_from_the_cache(
    engine: Engine, tool: SopsTool, keys: Keys, pack: Pack, tmp_path: Path
) -> None:
    """Other keys change nothing in what is cached; a changed ciphertext does."""
    cache = RenderCache(tmp_path / "cache")
    artifact = pack({"s.yaml": tool.object(SECRET)})
    assert not render(engine, *artifact, {}, keys=keys, cache=cache).cached
    assert render(engine, *artifact, {}, keys=keys, cache=cache).cached
    other = SopsTool(tool.folder)
    with pytest.raises(BuildFailed, match="cannot be decrypted"):
        render(engine, *artifact, {}, keys=keys_of({"b.agekey": other.agekey.encode()}, "Secret x/y"), cache=cache)
    changed = render(
        engine, *pack({"s.yaml": tool.object(SECRET.replace("hunter2", "new"))}), {}, keys=keys, cache=cache
    )
    assert not changed.cached
    assert one(changed)["stringData"]["password"] == "new"


def test_the_digest_is_keyed(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """The digest of a render goes into a status; without the key nobody can check a guess of a value."""
    artifact = pack({"s.yaml": tool.object(SECRET)})
    digests = {render(engine, *artifact, {}, keys=keys, digest_key=key).digest for key in (b"", b"a", b"b", b"b")}
    assert len(digests) == 3
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in digests)


def test_what_was_decrypted_is_named(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """So that no message quotes from it, whatever its kind."""
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {key: v}\n"
    rendered = render(engine, *pack({"a.yaml": tool.object(config % "a"), "b.yaml": config % "b"}), {}, keys=keys)
    assert [oid.name for oid in rendered.secretive] == ["a"]
