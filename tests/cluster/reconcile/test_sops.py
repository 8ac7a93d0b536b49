"""Encrypted sources on a real API server: what is applied, from which Secret, and what a failure leaves as it was."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.kube.ledger import NAMESPACE, load
from fleetbeat.reconcile import digestkey
from tests.support.deployed import Deployed
from tests.support.sopstool import SopsTool

pytestmark = pytest.mark.cluster

DECRYPTION = {"provider": "sops", "secretRef": {"name": "keys"}}


@pytest.fixture
def tool(tmp_path: Path) -> SopsTool:
    """A sops with an age key of its own."""
    folder = tmp_path / "sops"
    folder.mkdir()
    return SopsTool(folder)


def secret(name: str, **data: str) -> str:
    meta = {"name": name}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}, indent=1)


def live(deployed: Deployed, kind: str = "Secret") -> dict[str, dict[str, str]]:
    """The Secrets (or ConfigMaps) of the Kustomization `a` by name, their values in plain text."""
    params = {"labelSelector": "kustomize.toolkit.fluxcd.io/name=a"}
    found = deployed.client.list(f"/api/v1/namespaces/{deployed.namespace}/{kind.lower()}s", params)["items"]
    decode = (lambda value: base64.b64decode(value).decode()) if kind == "Secret" else str
    return {obj["metadata"]["name"]: {key: decode(value) for key, value in obj["data"].items()} for obj in found}


def sealed_repository(tool: SopsTool) -> dict[str, str]:
    """One of everything that is decrypted."""
    return {
        "a/kustomization.yaml": "resources: [login.yaml, config.json]\nsecretGenerator: [{name: app, envs: [app.env]}]"
        "\ngeneratorOptions: {disableNameSuffixHash: true}\n",
        "a/login.yaml": tool.object(secret("login", user="admin", password="hunter2"), "login.json"),
        "a/config.json": tool.object(secret("x", k="in a map").replace("Secret", "ConfigMap").replace("stringD", "d")),
        "a/app.env": tool.encrypt("TOKEN=sesame\n", "app.env"),
    }


@pytest.fixture
def ready(deployed: Deployed, tool: SopsTool) -> Deployed:
    """The repository applied, with the key in the Secret `keys`."""
    deployed.secret("keys", **{"me.agekey": tool.agekey})
    deployed.publish("main@sha1:1", sealed_repository(tool))
    deployed.put("a", targetNamespace=deployed.namespace, decryption=DECRYPTION)
    deployed.settle()
    return deployed


def test_secrets_files_and_other_objects_are_applied_in_plain_form(ready: Deployed) -> None:
    """And a second run of the same finds nothing to do."""
    assert live(ready) == {"login": {"user": "admin", "password": "hunter2"}, "app": {"TOKEN": "sesame"}}
    assert live(ready, "ConfigMap") == {"x": {"k": "in a map"}}
    before = ready.status("a")["history"]
    ready.again("a")
    after = ready.status("a")["history"]
    assert [entry["digest"] for entry in after] == [entry["digest"] for entry in before]
    assert not [event for event in ready.events() if "configured" in event["message"]]


def test_nothing_of_it_is_kept(ready: Deployed, tmp_path: Path) -> None:
    """Not in Redis, not on disk, not in the ledger; the digests there are keyed, so that no guess can be tested."""
    values = [b"hunter2", b"sesame", b"in a map", b"AGE-SECRET-KEY-1"]
    values += [base64.b64encode(value)[:8] for value in values]
    kept = [repr(ready.state.command("DUMP", key)) for key in ready.state.command("KEYS", "*")]
    kept += [repr(ready.state.command("HGETALL", key)) for key in _hashes(ready)]
    text = "".join(kept).encode()
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and "sops" not in file.parts]
    assert b"main@sha1:1" in text
    assert any(b'"sealed":[{"path":"a/app.env"' in content for content in files), "the cache is looked into"
    for value in values:
        assert value not in text
        assert not [content for content in files if value in content]
    entries = load(ready.client, Ref("Kustomization", ready.namespace, "a"), ready.ctx.hub_id).entries.values()
    assert all(entry.digest for entry in entries)
    key = ready.client.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{digestkey.NAME}")["data"]["key"]
    assert base64.b64decode(key) == ready.ctx.digest_key
    assert len(ready.ctx.digest_key) == 32


def _hashes(deployed: Deployed) -> list[bytes]:
    keys: list[bytes] = deployed.state.command("KEYS", "*")
    return [key for key in keys if deployed.state.command("TYPE", key) in (b"hash", "hash")]


def test_a_failure_keeps_the_last_good_state(ready: Deployed, tool: SopsTool) -> None:
    """A file that was changed by hand, and keys that do not fit: BuildFailed, told by name, and nothing is deleted."""
    good = live(ready)
    files = sealed_repository(tool)
    tampered = files["a/login.yaml"].replace('"login"', '"other"')
    ready.publish("main@sha1:2", {**files, "a/login.yaml": tampered})
    told = ready.again("a")
    assert (told["reason"], told["status"]) == ("BuildFailed", "False")
    assert told["message"].startswith("a/login.yaml: its MAC does not match")
    ready.publish("main@sha1:3", {**files, "a/login.yaml": SopsTool(tool.folder).object(secret("login", user="x"))})
    told = ready.again("a")
    assert "no identity of the age recipient" in told["message"]
    assert f"Secret {ready.namespace}/keys" in told["message"]
    assert live(ready) == good
    ready.publish("main@sha1:4", files)
    assert ready.again("a")["status"] == "True"


def test_keys_are_those_of_the_own_namespace(ready: Deployed, tool: SopsTool) -> None:
    """A tenant cannot name the Secret of another; without a Secret the message says which is missing."""
    ready.client.delete(f"/api/v1/namespaces/{ready.namespace}/secrets/keys")
    other = f"other-{uuid.uuid4().hex[:6]}"
    ready.client.create("/api/v1/namespaces", {"metadata": {"name": other}})
    body: dict[str, Any] = {"metadata": {"name": "keys"}, "stringData": {"me.agekey": tool.agekey}}
    ready.client.create(f"/api/v1/namespaces/{other}/secrets", body)
    told = ready.again("a")
    assert told["reason"] == "BuildFailed"
    assert told["message"].startswith(f"spec.decryption.secretRef: Secret {ready.namespace}/keys not found")
    ready.client.delete(f"/api/v1/namespaces/{other}")


def test_keys_of_the_whole_installation(ready: Deployed, tool: SopsTool) -> None:
    """They serve a spec without a secretRef, and no other."""
    ready.edit("a", decryption={"provider": "sops"})
    assert "the worker's own identity" in ready.again("a")["message"]
    settings = ready.ctx.settings
    ready.ctx.settings = replace(settings, sops_age_secret=f"{ready.namespace}/keys")
    try:
        assert ready.again("a")["status"] == "True"
        ready.edit("a", decryption={"provider": "sops", "secretRef": {"name": "none"}})
        assert "Secret " in ready.again("a")["message"]
        assert ready.condition("a")["status"] == "False"
    finally:
        ready.ctx.settings = settings


def test_an_api_server_that_quotes_is_not_repeated(ready: Deployed, tool: SopsTool) -> None:
    """Its message about a decrypted object of any kind is masked; the object is named."""
    bad = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"k": {"deep": "hunter2"}}}
    )
    ready.publish(
        "main@sha1:2", {"a/x.json": tool.object(bad, "x.json"), "a/kustomization.yaml": "resources: [x.json]"}
    )
    told = ready.again("a")
    assert told["reason"] == "ReconciliationFailed"
    assert "ConfigMap" in told["message"]
    assert "hunter2" not in told["message"]
    assert "hunter2" not in repr(ready.events())
