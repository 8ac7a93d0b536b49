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
    metadata = obj.get("metadata") or {}
    return not any((metadata.get(field) or {}).get(SUBSTITUTE) == "disabled" for field in ("labels", "annotations"))


def check(obj: Mapping[str, Any], *, sealed: bool = False) -> None:
    """Raises BuildFailed on an object that no API server could take, or, unless `sealed`, that is still encrypted."""
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
    if not sealed and _is_sealed(obj):
        raise BuildFailed(f"{describe(obj)} is encrypted with SOPS, and decryption is not supported yet")


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


def _is_sealed(obj: Mapping[str, Any]) -> bool:
    """Encrypted as a whole, or a Secret made of an encrypted file."""
    sops = obj.get("sops")
    if isinstance(sops, dict) and "mac" in sops:
        return True
    if obj.get("kind") != "Secret" or obj.get("apiVersion") != "v1":
        return False
    data, plain = obj.get("data") or {}, obj.get("stringData") or {}
    if not isinstance(data, dict) or not isinstance(plain, dict):
        return False
    return any(_SEALED in _decoded(value) for value in data.values()) or any(
        isinstance(value, str) and _SEALED in value.encode() for value in plain.values()
    )


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""


def without_values(message: str) -> str:
    """A parser's message up to where it begins to quote from the text, which may be a secret's value."""
    start, *quoted = _QUOTE.split(message, maxsplit=1)
    return start + "…" if quoted else message
