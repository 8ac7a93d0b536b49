"""Durations and wire names, the scalars that every kind is made of."""

from __future__ import annotations

import pytest

from fleetbeat.api.meta import format_duration, parse_duration, wire_name
from fleetbeat.errors import InvalidSpec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400), ("1m0.25s", 60.25), ("10m10m", 1200), ("0s", 0)],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    """Numbers with units add up; fractions count."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "5d", "-5s", "5m ", "1h30", "10us", "5m\n"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """The message shows the text and how durations are written."""
    with pytest.raises(InvalidSpec, match="such as 1h30m") as raised:
        parse_duration(text)
    assert repr(text) in raised.value.message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (0.9996, "1s"),
        (1.5, "1.5s"),
        (30, "30s"),
        (600, "10m0s"),
        (5400, "1h30m0s"),
        (3661.25, "1h1m1.25s"),
        (90061, "25h1m1s"),
        (-61, "-1m1s"),
    ],
)
def test_durations_are_written_as_flux_writes_them(seconds: float, text: str) -> None:
    """The largest unit is hours; every smaller unit is written, too."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize("text", ["1h0m0s", "10m0s", "90ms", "2m3.5s"])
def test_what_is_written_reads_back(text: str) -> None:
    """Writing and reading are inverse to each other."""
    assert format_duration(parse_duration(text)) == text


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("interval", "interval"),
        ("url", "url"),
        ("kube_config", "kubeConfig"),
        ("issuer_url", "issuerURL"),
        ("match_oidc_identity", "matchOIDCIdentity"),
        ("skip_crds", "skipCRDs"),
        ("disable_openapi_validation", "disableOpenAPIValidation"),
        ("oci_digest", "ociDigest"),
    ],
)
def test_fields_have_kubernetes_names_on_the_wire(field: str, name: str) -> None:
    """Camel case, with the acronyms that Flux writes in capitals."""
    assert wire_name(field) == name
