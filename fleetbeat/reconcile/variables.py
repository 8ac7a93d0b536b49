"""`spec.postBuild`: gathers variables from the spec's own map and from ConfigMaps and Secrets of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbeat.errors import BuildFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.substitute import merge


def gather(reader: HubReader, namespace: str, post_build: Mapping[str, Any]) -> dict[str, str]:
    """Later `substituteFrom` entries win over earlier ones, `substitute` over all; line breaks leave the values.

    `post_build` is the JSON of spec.postBuild. Raises BuildFailed naming a missing object or a name that is none.
    """
    sources = [_read(reader, namespace, entry) for entry in post_build.get("substituteFrom") or []]
    return merge(sources, post_build.get("substitute") or {})


def _read(reader: HubReader, namespace: str, entry: Mapping[str, Any]) -> dict[str, str]:
    kind, name = entry["kind"], entry["name"]
    where = f"spec.postBuild.substituteFrom: {kind} {namespace}/{name}"
    try:
        if kind == "ConfigMap":
            return reader.config_map(namespace, name)
        return {key: value.decode("utf-8", "surrogateescape") for key, value in reader.secret(namespace, name).items()}
    except NotFound as error:
        if entry.get("optional"):
            return {}
        raise BuildFailed(f"{where} not found; create it or set optional: true") from error
