"""Objects as YAML for people: what `build` and `diff` print, with nothing in it that is secret.

Owns the masks and the form. A string that some YAML reader might take for a number, a date or a truth value is quoted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import cache
from itertools import zip_longest
from typing import Any

MASK = "*****"
SEALED = "ENC[AES256_GCM,"

_SECRET_FIELDS = ("data", "stringData")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_AMBIGUOUS = re.compile(r"[-+]?[.\d]|(y|n|yes|no|on|off|true|false|null|~)$", re.IGNORECASE)

Obj = dict[str, Any]


def masked(obj: Mapping[str, Any]) -> Obj:
    """A copy whose Secret values and SOPS ciphertexts are masked."""
    copy = {key: _unsealed(value) for key, value in obj.items() if key != "sops"}
    if is_secret(obj):
        for field in _SECRET_FIELDS:
            if isinstance(copy.get(field), dict):
                copy[field] = dict.fromkeys(copy[field], MASK)
    return _without_copy(copy)


def masked_pair(before: Obj, after: Obj) -> tuple[Obj, Obj]:
    """Both sides of a comparison: of a Secret only which values differ is told."""
    left, right = masked(before), masked(after)
    for field in _SECRET_FIELDS if is_secret(after) else ():
        old, new = before.get(field) or {}, after.get(field) or {}
        for key in old.keys() & new.keys():
            if old[key] != new[key]:
                left[field][key], right[field][key] = f"{MASK} (before)", f"{MASK} (after)"
    return left, right


def sealed_pair(before: Obj, after: Obj) -> tuple[Obj, Obj]:
    """Both sides where `after` is encrypted: nobody here can tell whether its values differ."""
    right = masked(after)
    return _masked_like(masked(before), right), right


def _masked_like(value: Any, other: Any) -> Any:
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: _masked_like(item, other.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(other, list):
        return [_masked_like(one, two) for one, two in zip_longest(value, other[: len(value)])]
    return MASK if other == MASK else value


def is_sealed(obj: Mapping[str, Any]) -> bool:
    """Whether an object, or a file in a Secret, is encrypted with SOPS."""
    values = [value for field in _SECRET_FIELDS for value in (obj.get(field) or {}).values()] if is_secret(obj) else []
    return "sops" in obj or any(_is_ciphertext(value) for value in values)


def is_secret(obj: Mapping[str, Any]) -> bool:
    """Whether an object is one of Kubernetes' Secrets."""
    return obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1"


def text_of(obj: Mapping[str, Any]) -> str:
    """An object as YAML, what names it first, with a line break at its end."""
    import yaml

    named = {key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj}
    text: str = yaml.dump({**named, **obj}, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=4096)
    return text


def _without_copy(obj: Obj) -> Obj:
    """Without kubectl's copy of the object in an annotation, which repeats every value."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or _LAST_APPLIED not in (metadata.get("annotations") or {}):
        return obj
    annotations = {key: value for key, value in metadata["annotations"].items() if key != _LAST_APPLIED}
    rest = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**obj, "metadata": {**rest, "annotations": annotations} if annotations else rest}


def _unsealed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unsealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unsealed(item) for item in value]
    return MASK if isinstance(value, str) and SEALED in value else value


def _is_ciphertext(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        plain = base64.b64decode(value, validate=True)
    except ValueError:
        return SEALED in value
    return SEALED.encode() in plain


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Quotes what is ambiguous and writes lines as lines."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: Any, text: str) -> Any:
        style = "|" if "\n" in text else '"' if _AMBIGUOUS.match(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    return Dumper
