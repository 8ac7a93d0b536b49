"""From a rendered object to what is sent: owner labels, canonical form, digest. Pure functions.

Server-set fields that people export along with their objects are dropped, because no API server takes them back.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.managers import LAST_APPLIED

Object = dict[str, Any]

_SERVER_SET = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")
_SHORT = 3
_OPEN = frozenset({"apiVersion", "kind", "metadata", "type", "immutable"})
"""What may be quoted even of a Secret."""
_CRD = "CustomResourceDefinition"


@dataclass(frozen=True, slots=True)
class Desired:
    """One object as it is to be applied."""

    id: ObjectId
    resource: Resource
    body: bytes
    """JSON."""
    digest: str
    metadata: Mapping[str, Any]
    ignored: tuple[tuple[str, ...], ...] = ()
    """JSON pointers, in parts, of what is left as it is once the object exists (ignoring.py)."""
    secretive: bool = False
    """No message may quote from it, as from a Secret."""

    @property
    def path(self) -> str:
        """Its path on the API server."""
        return self.resource.path(self.id.namespace, self.id.name)


def prepare(
    rendered: Mapping[str, Any],
    resource: Resource,
    labels: Mapping[str, str],
    ignored: tuple[tuple[str, ...], ...] = (),
    digest_key: bytes = b"",
    *,
    secretive: bool = False,
) -> Desired:
    """The canonical form of a rendered object, with `labels` added. The input is not changed."""
    obj = dict(rendered)
    metadata = {key: value for key, value in rendered["metadata"].items() if key not in _SERVER_SET}
    _drop_last_applied(metadata)
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    if not resource.namespaced:
        metadata.pop("namespace", None)
    obj["metadata"] = metadata
    if not obj.get("status") or obj["kind"] == _CRD:
        obj.pop("status", None)
    if obj["apiVersion"] == "v1" and obj["kind"] == "Secret":
        _encode_string_data(obj)
    if obj["kind"] == _CRD:
        _drop_placeholder_ca(obj)
    body = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    intent = body + orjson.dumps(ignored) if ignored else body  # what is no longer ignored is to be restored
    digest = hashlib.blake2b(intent, digest_size=16, key=digest_key).hexdigest()
    return Desired(ObjectId.of(obj), resource, body, digest, metadata, ignored, secretive or obj["kind"] == "Secret")


def _drop_last_applied(metadata: Object) -> None:
    """kubectl's own note, exported with the object; as we remove it from live objects, it must not be desired."""
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}


def _encode_string_data(secret: Object) -> None:
    """`stringData` is write-only, so ownership of its keys could be neither seen nor given up; `data` can."""
    text = secret.get("stringData")
    if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
        return  # the API server's own message names the wrong key
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
    secret["data"] = {**(secret.get("data") or {}), **encoded}
    del secret["stringData"]


def _drop_placeholder_ca(crd: Object) -> None:
    """Generators write a newline as caBundle for an injector to replace; API servers refuse what is no certificate."""
    conversion = (crd.get("spec") or {}).get("conversion") or {}
    client = (conversion.get("webhook") or {}).get("clientConfig") or {}
    bundle = client.get("caBundle")
    if bundle is None or b"BEGIN CERTIFICATE" in base64.b64decode(bundle, validate=False):
        return
    kept = {key: value for key, value in client.items() if key != "caBundle"}
    webhook = {**conversion["webhook"], "clientConfig": kept}
    crd["spec"] = {**crd["spec"], "conversion": {**conversion, "webhook": webhook}}


def redact(message: str, desired: Desired) -> str:
    """`message` without any value of a Secret: API servers quote what they cannot decode."""
    if not desired.secretive:
        return message
    obj = orjson.loads(desired.body)
    quoted = {value for part in obj.keys() - _OPEN for value in _scalars(obj[part])}
    plain = {text for value in quoted for text in _decoded(value)}
    for text in sorted(quoted | plain, key=len, reverse=True):
        # A short value is masked as a word only, lest the rest of the sentence goes with it.
        pattern = re.escape(text) if len(text) > _SHORT else rf"(?<!\w){re.escape(text)}(?!\w)"
        message = re.sub(pattern, "*****", message)
    return message


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif value not in (None, ""):
        yield value if isinstance(value, str) else orjson.dumps(value).decode()


def _decoded(text: str) -> Iterator[str]:
    try:
        plain = base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        return
    if plain:
        yield plain
