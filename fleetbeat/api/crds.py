"""The CustomResourceDefinitions of all kinds, made from their Structs; they accept whatever Flux's own accept.

`python -m fleetbeat.api.crds DIRECTORY` writes them as YAML, one file per kind. Nothing else here does I/O.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from fleetbeat.api.kinds import KINDS, Column, Kind
from fleetbeat.api.schema import Schema, defaults_of, schema_of

PART_OF = "flux"
"""By this label the `flux` command line finds the CRDs."""


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as a fresh dict."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
            "labels": {
                "app.kubernetes.io/component": kind.controller,
                "app.kubernetes.io/part-of": PART_OF,
                "app.kubernetes.io/version": f"v{version('fleetbeat')}",
            },
        },
        "spec": {
            "group": kind.group,
            "names": _names(kind),
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def write(directory: Path) -> list[Path]:
    """Write every CRD into `directory` as `<plural>.<group>.yaml`; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for kind in KINDS.values():
        definition = crd(kind)
        file = directory / f"{definition['metadata']['name']}.yaml"
        file.write_text(as_yaml(definition), encoding="utf-8")
        files.append(file)
    return files


def as_yaml(definition: dict[str, Any]) -> str:
    """A CRD as it stands in its file."""
    return yaml.dump(definition, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120)


class _Dumper(yaml.CSafeDumper):
    """Writes everything out; anchors would be harder to read than what they save."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _names(kind: Kind) -> dict[str, Any]:
    names: dict[str, Any] = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "categories": list(kind.categories),
    }
    return names | ({"shortNames": list(kind.short_names)} if kind.short_names else {})


def _version(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind)},
        "subresources": {"status": {}} if kind.has_status else {},
    }


def _column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": column.priority} if column.priority else {})


def _root(kind: Kind) -> Schema:
    properties: Schema = {
        "apiVersion": {"type": "string", "description": f"`{kind.api_version}`."},
        "kind": {"type": "string", "description": f"`{kind.name}`."},
        "metadata": {"type": "object"},
        "spec": schema_of(kind.spec),
    }
    if kind.status is not None:
        status = schema_of(kind.status, defaults=False)
        initial = defaults_of(kind.status)
        properties["status"] = status | ({"default": initial} if initial else {})
    return {"type": "object", "description": properties["spec"]["description"], "properties": properties}


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
