"""What a rendered object must look like, and how messages name it.

Owns the checks on single objects. Knows nothing of builds or clusters, and puts no value of an object in a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from fleetbeat.errors import BuildFailed

SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
DECRYPT = "kustomize.toolkit.fluxcd.io/decrypt"
_SEALED = b"ENC[AES256_GCM,"
_QUOTE = re.compile("['\"`]")


def describe(obj: Mapping[str, Any]) -> str:
    """`Kind/namespace/name`, or as much of it as there is."""
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    parts = (obj.get("kind"), metadata.get("namespace"), metadata.get("name"))
    return "/".join(part for part in parts if isinstance(part, str) and part) or "an object without kind and name"


def wants_substitution(obj: Mapping[str, Any]) -> bool:
    """False for an object with the label or annotation `…/substitute: disabled`."""
    return "disabled" not in _marks(obj, SUBSTITUTE)


def wants_decryption(obj: Mapping[str, Any]) -> bool:
    """False for an object with the label or annotation `…/decrypt: disabled`, in any case."""
    return not any(str(mark).lower() == "disabled" for mark in _marks(obj, DECRYPT))


def _marks(obj: Mapping[str, Any], switch: str) -> list[Any]:
    """What label and annotation of that name say."""
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    fields = (metadata.get("labels"), metadata.get("annotations"))
    return [values.get(switch) for values in fields if isinstance(values, dict)]


def check(obj: Mapping[str, Any]) -> None:
    """Raises BuildFailed on an object that no API server could take."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        raise BuildFailed(f"{describe(obj)}: metadata is missing")
    for field, value in (("apiVersion", obj.get("apiVersion")), ("kind", obj.get("kind"))):
        _check_text(obj, field, value)
    _check_text(obj, "metadata.name", metadata.get("name"))
    if metadata.get("namespace") is not None:
        _check_text(obj, "metadata.namespace", metadata["namespace"], required=False)
    for field in ("labels", "annotations"):
        _check_marks(obj, field, metadata.get(field))


def check_plain(obj: Mapping[str, Any], *, decrypting: bool) -> None:
    """Raises BuildFailed on an object that is still encrypted. decrypting: whether spec.decryption is set."""
    if not wants_decryption(obj) or not _is_sealed(obj):
        return
    remedy = f"where something else decrypts it, annotate it with {DECRYPT}: disabled"
    if decrypting:
        raise BuildFailed(
            f"{describe(obj)} holds a value that is encrypted with SOPS, without the sops block that it needs; encrypt "
            f"it again, or, {remedy}"
        )
    raise BuildFailed(
        f"{describe(obj)} is encrypted with SOPS, and spec.decryption is not set: set it, with a secretRef to the "
        f"keys, or, {remedy}"
    )


def _check_text(obj: Mapping[str, Any], field: str, value: object, *, required: bool = True) -> None:
    if value is None or value == "":
        if required:
            raise BuildFailed(f"{describe(obj)}: {field} is missing")
    elif not isinstance(value, str):
        raise BuildFailed(f"{describe(obj)}: {field} is not a string; put quotes around it")


def _check_marks(obj: Mapping[str, Any], field: str, marks: object) -> None:
    if marks is None:
        return
    if not isinstance(marks, dict):
        raise BuildFailed(f"{describe(obj)}: metadata.{field} is not a mapping")
    for key, value in marks.items():
        if value is not None:
            _check_text(obj, f"metadata.{field}[{key}]", value, required=False)


def is_encrypted(obj: Mapping[str, Any]) -> bool:
    """Encrypted as a whole: with a sops block of its own."""
    sops = obj.get("sops")
    return isinstance(sops, dict) and isinstance(sops.get("mac"), str)


def is_secret(obj: Mapping[str, Any]) -> bool:
    """A Secret of the core API."""
    return obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1"


def _is_sealed(obj: Mapping[str, Any]) -> bool:
    """An object of Kubernetes' own that is encrypted as a whole, or a Secret made of an encrypted file.

    Custom resources may be meant to be decrypted by their own controller.
    """
    group = str(obj.get("apiVersion")).rpartition("/")[0]
    if is_encrypted(obj) and ("." not in group or group.endswith(".k8s.io")):
        return True
    if not is_secret(obj):
        return False
    data, plain = obj.get("data") or {}, obj.get("stringData") or {}
    if not isinstance(data, dict) or not isinstance(plain, dict):
        return False
    return any(_SEALED in decoded(value) for value in data.values()) or any(
        isinstance(value, str) and _SEALED in value.encode() for value in plain.values()
    )


def decoded(value: object) -> bytes:
    """The bytes of a value in a Secret's data, with line breaks or without; none of what is no base64."""
    try:
        return base64.b64decode("".join(value.split()), validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""


def without_values(message: str) -> str:
    """A parser's message up to where it begins to quote from the text, which may be a secret's value."""
    start, *quoted = _QUOTE.split(message, maxsplit=1)
    return start + "…" if quoted else message
