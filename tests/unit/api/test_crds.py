"""The CRDs as generated: labels, columns, descriptions, and the files in the chart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.api.crds import as_yaml, crd, write
from fleetbeat.api.kinds import KINDS, Kind
from tests.support.samples import root_schema

pytestmark = pytest.mark.unit

CHART = Path(__file__).parents[3] / "charts" / "fleetbeat" / "crds"

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from fields(schema[key], f"{path}[]")


@every_kind
def test_the_chart_has_what_the_structs_say(kind: Kind) -> None:
    """`python -m fleetbeat.api.crds charts/fleetbeat/crds` was run after the last change."""
    definition = crd(kind)
    file = CHART / f"{definition['metadata']['name']}.yaml"
    assert file.read_text(encoding="utf-8") == as_yaml(definition)


def test_the_chart_has_nothing_else(tmp_path: Path) -> None:
    """One file per kind, each a readable document."""
    written = write(tmp_path / "crds")
    assert {file.name for file in written} == {file.name for file in CHART.iterdir()}
    assert [yaml.safe_load(file.read_text(encoding="utf-8")) for file in written] == [crd(k) for k in KINDS.values()]


@every_kind
def test_the_flux_command_line_finds_the_crd(kind: Kind) -> None:
    """By label part-of and version; and no Kustomization substitutes variables in it."""
    meta = crd(kind)["metadata"]
    assert meta["labels"]["app.kubernetes.io/part-of"] == "flux"
    assert meta["labels"]["app.kubernetes.io/version"].startswith("v")
    assert meta["labels"]["app.kubernetes.io/component"] == kind.controller
    assert meta["annotations"] == {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}


@every_kind
def test_every_field_is_described(kind: Kind) -> None:
    """`kubectl explain` has something to say everywhere, in a sentence."""
    for part in ("spec", "status"):
        for path, field in fields(root_schema(kind)["properties"].get(part, {}), part):
            assert field.get("description", "").endswith((".", "…`.")), path


@every_kind
def test_the_status_is_a_subresource_where_there_is_one(kind: Kind) -> None:
    """Provider and Alert have neither."""
    version = crd(kind)["spec"]["versions"][0]
    assert version["subresources"] == ({"status": {}} if kind.has_status else {})
    assert ("status" in version["schema"]["openAPIV3Schema"]["properties"]) is kind.has_status


def test_a_status_begins_as_never_observed() -> None:
    """The default is on the status, not on its fields, so that it appears with the object."""
    status = root_schema(KINDS["Kustomization"])["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert "default" not in status["properties"]["observedGeneration"]


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("Kustomization", "spec.interval", "5m"),
        ("Kustomization", "spec.force", False),
        ("Kustomization", "spec.postBuild.substituteFrom[].optional", False),
        ("GitRepository", "spec.timeout", "60s"),
        ("GitRepository", "spec.verify.mode", "HEAD"),
        ("OCIRepository", "spec.provider", "generic"),
        ("HelmChart", "spec.version", "*"),
        ("HelmRelease", "spec.uninstall.deletionPropagation", "background"),
        ("Receiver", "spec.interval", "10m"),
        ("Alert", "spec.eventSeverity", "info"),
        ("ImageRepository", "spec.exclusionList", [r"^.*\.sig$"]),
        ("ImagePolicy", "spec.digestReflectionPolicy", "Never"),
        ("ImageUpdateAutomation", "spec.update", {"strategy": "Setters"}),
    ],
)
def test_defaults(name: str, path: str, expected: Any) -> None:
    """What the API server writes into an object that leaves the field out."""
    assert dict(fields(root_schema(KINDS[name])["properties"]["spec"], "spec"))[path]["default"] == expected


def test_empty_values_are_no_defaults() -> None:
    """A field that nobody set stays absent."""
    assert "default" not in root_schema(KINDS["Kustomization"])["properties"]["spec"]["properties"]["suspend"]


def test_values_may_be_anything() -> None:
    """The API server keeps whatever a HelmRelease has as values."""
    values = root_schema(KINDS["HelmRelease"])["properties"]["spec"]["properties"]["values"]
    assert values["x-kubernetes-preserve-unknown-fields"] is True
    assert "type" not in values
