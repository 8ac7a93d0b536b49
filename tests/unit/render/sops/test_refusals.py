"""What cannot be decrypted, or may not be: the message names place and remedy, and holds nothing secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import yaml

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.sops.keys import Keys, keys_of
from tests.support.sopstool import SopsTool
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\nstringData: {a: hunter2, b: sesame}\n"
Files = Mapping[str, str]


def refused(engine: Engine, pack: Pack, files: Files, keys: Keys | None) -> str:
    with pytest.raises(BuildFailed) as failure:
        render(engine, *pack(files), {}, keys=keys)
    for secret in ("hunter2", "sesame"):
        assert secret not in failure.value.message
    return failure.value.message


def changed(text: str, change: Callable[[dict[str, object]], None]) -> str:
    obj = yaml.safe_load(text)
    change(obj)
    return yaml.safe_dump(obj, sort_keys=False)


def swap(obj: dict) -> None:  # type: ignore[type-arg]
    obj["stringData"] = {"a": obj["stringData"]["b"], "b": obj["stringData"]["a"]}


def rename(obj: dict) -> None:  # type: ignore[type-arg]
    obj["metadata"]["namespace"] = "kube-system"


def drop(obj: dict) -> None:  # type: ignore[type-arg]
    del obj["stringData"]["b"]


def plain(obj: dict) -> None:  # type: ignore[type-arg]
    obj["stringData"]["b"] = "chosen"


def backdate(obj: dict) -> None:  # type: ignore[type-arg]
    obj["sops"]["lastmodified"] = "2020-01-01T00:00:00Z"


def forge(obj: dict) -> None:  # type: ignore[type-arg]
    obj["sops"]["mac"] = obj["stringData"]["a"]


def without_block(obj: dict) -> None:  # type: ignore[type-arg]
    del obj["sops"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (swap, "stringData.a cannot be decrypted: the value was changed or moved"),
        (rename, "its MAC does not match"),
        (drop, "its MAC does not match"),
        (plain, "stringData.b is not encrypted"),
        (backdate, "its MAC does not match"),
        (forge, "its MAC does not match"),
    ],
)
def test_a_file_that_was_changed_after_encryption(
    engine: Engine, tool: SopsTool, keys: Keys, pack: Pack, change: Callable[[dict[str, object]], None], says: str
) -> None:
    """The file is named; nothing of it is applied."""
    message = refused(engine, pack, {"app/s.yaml": changed(tool.object(SECRET), change)}, keys)
    assert "app/s.yaml" in message
    assert says in message


def test_a_missing_block_or_mac(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Neither may be taken away."""
    files = {"s.yaml": changed(tool.object(SECRET), without_block)}
    assert "without the sops block" in refused(engine, pack, files, keys)
    env = tool.encrypt("a=hunter2\n", "x.env").replace("sops_mac=", "sops_mac=ENC[none]\nsops_was=")
    files = {"x.env": env, "kustomization.yaml": "secretGenerator: [{name: s, envs: [x.env]}]"}
    assert "x.env: its MAC does not match" in refused(engine, pack, files, keys)


def test_without_spec_decryption(engine: Engine, tool: SopsTool, pack: Pack) -> None:
    """The object is named, and what to set."""
    message = refused(engine, pack, {"s.yaml": tool.object(SECRET)}, None)
    assert message.startswith("Secret/n/s is encrypted with SOPS, and spec.decryption is not set")
    assert "secretRef" in message


def test_with_other_keys(engine: Engine, tool: SopsTool, pack: Pack) -> None:
    """The Secret that was used and the recipient that it lacks."""
    other = keys_of({"x.agekey": SopsTool(tool.folder).agekey.encode()}, "Secret n/keys")
    message = refused(engine, pack, {"s.yaml": tool.object(SECRET)}, other)
    assert f"no identity of the age recipient {tool.recipient}" in message
    assert "Secret n/keys" in message
    message = refused(engine, pack, {"s.yaml": tool.object(SECRET)}, Keys())
    assert "cannot be decrypted with nothing" in message


def test_an_unknown_kind_of_key(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Huawei's service is not supported; a kind that nobody knows is as good as no key."""

    def only(kind: str) -> str:
        def move(obj: dict) -> None:  # type: ignore[type-arg]
            obj["sops"][kind] = [{"key_id": "x", "enc": "y"}]
            del obj["sops"]["age"]

        return changed(tool.object(SECRET), move)

    assert "Huawei Cloud KMS is not supported" in refused(engine, pack, {"s.yaml": only("hckms")}, keys)
    assert "names no key" in refused(engine, pack, {"s.yaml": only("psychic")}, keys)


def test_objects_that_are_encrypted_as_a_whole(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Kustomize cannot work with them; the option of sops that was forgotten is named."""
    files = {"s.yaml": tool.encrypt(SECRET), "kustomization.yaml": "resources: [s.yaml]\nnamespace: other\n"}
    assert "--encrypted-regex '^(data|stringData)$'" in refused(engine, pack, files, keys)


def test_a_file_of_more_than_five_mebibytes(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """By its size alone, before anything is decrypted."""
    sealed = tool.encrypt("a=b\n", "x.env")
    files = {"x.env": sealed + "#" * (5 << 20), "kustomization.yaml": "secretGenerator: [{name: s, envs: [x.env]}]"}
    assert "x.env is encrypted and larger than 5 MiB" in refused(engine, pack, files, keys)
    files = {"s.yaml": tool.object(SECRET) + "#" * (5 << 20)}
    assert "s.yaml is encrypted and larger than 5 MiB" in refused(engine, pack, files, keys)


def test_a_value_in_another_format_than_its_key(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """A key without an ending stands for bytes, and YAML has no such value."""
    files = {"s.yaml": tool.encrypt("a: hunter2\n", "s.yaml")}
    files["kustomization.yaml"] = "secretGenerator: [{name: s, files: [config=s.yaml]}]"
    message = refused(engine, pack, files, keys)
    assert "data[config]: it was not encrypted as binary; give it a key that ends with .yaml" in message


def test_a_build_that_fails_on_plain_text_does_not_quote_it(
    engine: Engine, tool: SopsTool, keys: Keys, pack: Pack
) -> None:
    """Kustomize would repeat the line; what is wrong elsewhere is still told in its own words."""
    files = {"p.yaml": tool.encrypt("stringData: {password: hunter2}\n", "p.yaml"), "s.yaml": SECRET}
    files["kustomization.yaml"] = "resources: [s.yaml]\npatches: [{path: p.yaml}]"
    message = refused(engine, pack, files, keys)
    assert "p.yaml" in message
    assert "is not shown" in message
    files["kustomization.yaml"] = "resources: [gone.yaml]\npatches: [{path: p.yaml}]"
    assert "gone.yaml" in refused(engine, pack, files, keys)


def test_expressions_in_decrypted_text_are_not_quoted(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """A password may look like an expression; one in a plain object beside it is still named."""
    artifact = {"s.yaml": tool.object(SECRET.replace("hunter2", "'pa${hunter2}'"))}
    with pytest.raises(BuildFailed) as failure:
        render(engine, *pack(artifact), {}, {"x": "y"}, keys=keys)
    assert failure.value.message.startswith("Secret/n/s: an expression in it cannot be substituted")
    assert "hunter2" not in failure.value.message
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: '${unknown}'}\n"
    files = {"c.yaml": config, "x.env": tool.encrypt("A=${hunter2}\n", "x.env")}
    files["kustomization.yaml"] = "resources: [c.yaml]\nsecretGenerator: [{name: s, envs: [x.env]}]"
    with pytest.raises(BuildFailed, match="unknown"):
        render(engine, *pack(files), {}, {"x": "y"}, keys=keys)


def test_a_forged_block_runs_into_limits(engine: Engine, tool: SopsTool, keys: Keys, pack: Pack) -> None:
    """Thousands of keys would be thousands of requests; anchors would make a small file endless."""

    def many(obj: dict) -> None:  # type: ignore[type-arg]
        obj["sops"]["age"] = [dict(obj["sops"]["age"][0]) for _ in range(100)]

    assert "more than 64 keys" in refused(engine, pack, {"s.yaml": changed(tool.object(SECRET), many)}, keys)
    sealed = "a: &a [x, x]\nb: [*a, *a]\n" + tool.encrypt("c: d\n", "p.yaml")
    files = {"p.yaml": sealed, "kustomization.yaml": "secretGenerator: [{name: s, files: [p.yaml]}]"}
    assert "anchors are not supported" in refused(engine, pack, files, keys)
