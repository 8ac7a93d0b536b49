"""The canonical form of rendered objects, and what is never sent or told."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from fleetbeat.kube.desired import Desired, prepare, redact
from fleetbeat.kube.discovery import Resource

pytestmark = pytest.mark.unit

LABELS = {"owner": "us"}


def prepared(kind: str, *, api: str = "v1", namespaced: bool = True, metadata: Any = None, **body: Any) -> Desired:
    group, _, version = api.rpartition("/")
    obj = {"apiVersion": api, "kind": kind, "metadata": {"name": "x", "namespace": "n", **(metadata or {})}, **body}
    before = orjson.dumps(obj)
    desired = prepare(obj, Resource(group, version, kind, "things", namespaced), LABELS)
    assert orjson.dumps(obj) == before, "the input is changed"
    return desired


def body(desired: Desired) -> Any:
    return orjson.loads(desired.body)


def test_labels_are_added_and_server_fields_dropped() -> None:
    """What people export along with an object is not sent back."""
    noise = {"uid": "u", "resourceVersion": "7", "managedFields": [], "creationTimestamp": None, "generation": 2}
    desired = prepared("ConfigMap", metadata={"labels": {"a": "b"}, **noise}, status={})
    assert body(desired)["metadata"] == {"name": "x", "namespace": "n", "labels": {"a": "b", "owner": "us"}}
    assert "status" not in body(desired)


def test_equal_objects_have_equal_digests() -> None:
    """The order of keys does not count, everything else does."""
    one = prepared("ConfigMap", data={"a": "1", "b": "2"})
    assert prepared("ConfigMap", data={"b": "2", "a": "1"}).digest == one.digest
    assert prepared("ConfigMap", data={"a": "1", "b": "3"}).digest != one.digest


def test_cluster_scoped_objects_have_no_namespace() -> None:
    """Neither in the id nor in the path nor in the body."""
    desired = prepared("Namespace", namespaced=False)
    assert desired.id.namespace == ""
    assert desired.path == "/api/v1/things/x"
    assert "namespace" not in body(desired)["metadata"]


def test_string_data_becomes_data() -> None:
    """stringData wins over data, as in the API server."""
    desired = prepared("Secret", stringData={"a": "plain"}, data={"a": "b2xk", "b": "Yg=="})
    assert body(desired)["data"] == {"a": base64.b64encode(b"plain").decode(), "b": "Yg=="}
    assert "stringData" not in body(desired)


def test_wrong_string_data_is_left_to_the_api_server() -> None:
    """Its message names the key."""
    assert body(prepared("Secret", stringData={"a": 1}))["stringData"] == {"a": 1}


def test_kubectls_note_is_not_desired() -> None:
    """An exported last-applied annotation would be removed from the live object for ever."""
    note = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "yes"}
    assert body(prepared("ConfigMap", metadata={"annotations": note}))["metadata"]["annotations"] == {"mine": "yes"}


@pytest.mark.parametrize(
    ("bundle", "kept"), [("Cg==", False), (base64.b64encode(b"-----BEGIN CERTIFICATE-----"), True)]
)
def test_placeholder_ca_bundles_are_dropped(bundle: Any, kept: bool) -> None:
    """A newline in place of a certificate is what generators write; a certificate stays."""
    bundle = bundle if isinstance(bundle, str) else bundle.decode()
    webhook = {"clientConfig": {"caBundle": bundle, "url": "https://x"}}
    spec = {"conversion": {"strategy": "Webhook", "webhook": webhook}}
    api = "apiextensions.k8s.io/v1"
    sent = body(prepared("CustomResourceDefinition", api=api, namespaced=False, spec=spec))
    assert ("caBundle" in sent["spec"]["conversion"]["webhook"]["clientConfig"]) is kept


def test_values_of_secrets_are_masked() -> None:
    """In plain and in base64, nested where they must not be, long and short."""
    desired = prepared("Secret", data={"a": "aHVudGVyMg==", "b": ["nested-one"], "c": "x"}, stringData={"d": 12345})
    message = 'cannot use "hunter2", aHVudGVyMg==, {"nested-one"}, 12345 or x in exit'
    assert redact(message, desired) == 'cannot use "*****", *****, {"*****"}, ***** or ***** in exit'


def test_only_what_was_decrypted_is_masked_besides_secrets() -> None:
    """Of an object that was encrypted in the source every value, of others none."""
    plain = prepared("ConfigMap", data={"a": "hunter2"})
    assert redact("cannot use hunter2", plain) == "cannot use hunter2"
    assert redact("cannot use hunter2", replace(plain, secretive=True)) == "cannot use *****"


def test_a_keyed_digest_does_not_tell_what_it_is_of() -> None:
    """Who guesses the value of a Secret cannot check the guess without the key; who has the key sees a change."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}, "data": {"a": "eA=="}}
    resource = Resource("", "v1", "Secret", "secrets", True)
    plain, one, again, other = (
        prepare(secret, resource, LABELS, digest_key=key).digest for key in (b"", b"1", b"1", b"2")
    )
    assert one == again
    assert len({plain, one, other}) == 3
    changed = {**secret, "data": {"a": "eQ=="}}
    assert prepare(changed, resource, LABELS, digest_key=b"1").digest != one
