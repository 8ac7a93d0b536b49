"""`spec.postBuild`: gathers variables from the spec's own map and from ConfigMaps and Secrets of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbeat.errors import BuildFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.targets import HubReader


def gather(reader: HubReader, namespace: str, post_build: Mapping[str, Any]) -> dict[str, str]:
    """Later `substituteFrom` entries win over earlier ones, `substitute` over all; line breaks leave the values.

    `post_build` is the JSON of spec.postBuild. Raises BuildFailed naming a missing object or a value that is not text.
    """
    variables: dict[str, str] = {}
    for entry in post_build.get("substituteFrom") or []:
        variables.update(_read(reader, namespace, entry))
    variables.update(post_build.get("substitute") or {})
    return {name: value.replace("\n", "") for name, value in variables.items()}


def _read(reader: HubReader, namespace: str, entry: Mapping[str, Any]) -> dict[str, str]:
    kind, name = entry["kind"], entry["name"]
    where = f"spec.postBuild.substituteFrom: {kind} {namespace}/{name}"
    try:
        if kind == "ConfigMap":
            return reader.config_map(namespace, name)
        return {key: value.decode() for key, value in reader.secret(namespace, name).items()}
    except NotFound as error:
        if entry.get("optional"):
            return {}
        raise BuildFailed(f"{where} not found; create it or set optional: true") from error
    except UnicodeDecodeError as error:
        raise BuildFailed(f"{where} holds a value that is not UTF-8 text") from error
