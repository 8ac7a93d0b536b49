"""Objects for every kind: with every field that its schema knows, and with no more than it requires."""

from __future__ import annotations

import re
from typing import Any

from fleetbeat.api.crds import crd
from fleetbeat.api.kinds import Kind

TEXTS = (
    "sample",
    "1m30s",
    "https://git.example.org/sample",
    "oci://registry.example.org/sample",
    "@artifact/sample/",
    "@alias",
    "sha256:" + "0" * 64,
)
"""For a field with a pattern, the first of them that matches."""

EXCLUDED = {
    "HelmRelease": ["spec.chartRef", "spec.kubeConfig.configMapRef"],
    "Kustomization": ["spec.kubeConfig.configMapRef"],
    "Bucket": ["spec.serviceAccountName"],
    "Receiver": ["spec.oidcProviders"],
}
"""Fields that exclude others."""

FIXED = {
    "GitRepository": {"provider": "aws"},
    "Bucket": {
        "provider": "generic",
        "sts": {"provider": "ldap", "endpoint": "https://sts.example.org", "secretRef": {"name": "sample"}},
    },
    "ImagePolicy": {"digestReflectionPolicy": "Always"},
    "Provider": {"type": "github"},
    "Receiver": {"type": "github"},
    "HelmChart": {"sourceRef": {"kind": "HelmRepository", "name": "sample"}},
}
"""Fields of the spec that others depend on."""


def root_schema(kind: Kind) -> dict[str, Any]:
    """The schema of a kind's only version."""
    schema: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def full(kind: Kind, name: str = "full", namespace: str = "default") -> dict[str, Any]:
    """An object with every field set, but for those that exclude each other; status included."""
    schema = root_schema(kind)["properties"]
    excluded = frozenset(EXCLUDED.get(kind.name, ()))
    obj = _head(kind, name, namespace)
    for part in ("spec", "status"):
        if part in schema:
            obj[part] = _value(schema[part], part, excluded)
    obj["spec"] |= FIXED.get(kind.name, {})
    return obj


def least(kind: Kind, name: str = "least", namespace: str = "default") -> dict[str, Any]:
    """An object with no more than the schema requires."""
    return _head(kind, name, namespace) | {"spec": _required(root_schema(kind)["properties"]["spec"]) | _rules(kind)}


def _head(kind: Kind, name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, "namespace": namespace}}


def _rules(kind: Kind) -> dict[str, Any]:
    reference: dict[str, Any] = {"kind": "HelmChart", "name": "sample"}
    needed: dict[str, dict[str, Any]] = {
        "Receiver": {"type": "github", "secretRef": {"name": "sample"}},
        "HelmRelease": {"chartRef": reference},
    }
    return needed.get(kind.name, {})


def _required(schema: dict[str, Any]) -> Any:
    if "properties" not in schema:
        return _value(schema, "", frozenset())
    return {name: _required(schema["properties"][name]) for name in schema.get("required", ())}


def _value(schema: dict[str, Any], path: str, excluded: frozenset[str]) -> Any:
    match schema:
        case {"enum": [*_, last]}:
            return last
        case {"properties": properties}:
            fields = {name: f"{path}.{name}" for name in properties if f"{path}.{name}" not in excluded}
            return {name: _value(properties[name], where, excluded) for name, where in fields.items()}
        case {"additionalProperties": values}:
            return {"key": _value(values, f"{path}.key", excluded)}
        case {"items": items}:
            return [_value(items, f"{path}[]", excluded)]
        case {"type": "integer"}:
            return 3
        case {"type": "boolean"}:
            return True
        case {"type": "string"}:
            return _text(schema)
        case _:
            return {"anything": [1, "two", None, {"three": 3.5}]}


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    return next(text for text in TEXTS if re.search(schema.get("pattern", ""), text))
