"""`fleetbeat create source` makes what flux would make of the same words."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fleetbeat.errors import FleetbeatError
from workers.cli.main import app

pytestmark = pytest.mark.unit


def made(words: str) -> dict[str, Any]:
    """What the command exports."""
    done = CliRunner().invoke(app, ["create", "source", *words.split(), "--export"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@pytest.mark.parametrize(
    ("words", "kind", "spec"),
    [
        (
            "git a --url https://example.com/a --branch main",
            "GitRepository",
            {"url": "https://example.com/a", "interval": "1m", "ref": {"branch": "main"}},
        ),
        (
            "git a --url ssh://git@example.com/a --tag-semver >=1.0 --secret-ref key --ignore-paths *.md,/docs",
            "GitRepository",
            {
                "url": "ssh://git@example.com/a",
                "interval": "1m",
                "ref": {"semver": ">=1.0"},
                "secretRef": {"name": "key"},
                "ignore": "*.md\n/docs",
            },
        ),
        (
            "oci a --url oci://example.com/a --tag t --verify-provider cosign --verify-issuer ^i --verify-subject s",
            "OCIRepository",
            {
                "url": "oci://example.com/a",
                "interval": "1m",
                "ref": {"tag": "t"},
                "verify": {"provider": "cosign", "matchOIDCIdentity": [{"issuer": "^i", "subject": "s"}]},
            },
        ),
        (
            "helm a --url oci://example.com/charts",
            "HelmRepository",
            {"url": "oci://example.com/charts", "type": "oci", "interval": "1m"},
        ),
        (
            "chart a --source HelmRepository/a --chart podinfo --chart-version 6.x",
            "HelmChart",
            {
                "chart": "podinfo",
                "version": "6.x",
                "interval": "1m",
                "sourceRef": {"kind": "HelmRepository", "name": "a"},
            },
        ),
        (
            "bucket a --bucket-name b --endpoint s3.example.com --access-key k --secret-key s --interval 5m",
            "Bucket",
            {
                "bucketName": "b",
                "endpoint": "s3.example.com",
                "interval": "5m",
                "provider": "generic",
                "secretRef": {"name": "bucket-a"},
            },
        ),
    ],
)
def test_options_make_fields(words: str, kind: str, spec: dict[str, Any]) -> None:
    """Every option has its field, and what is not given is not there."""
    found = made(words)
    assert (found["kind"], found["spec"]) == (kind, spec)
    assert found["metadata"] == {"name": "a", "namespace": "flux-system"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("git a --url foo://x", "spec.url"),
        ("git a --url https://x/a --interval soon", "spec.interval"),
        ("git a --url https://x/a --label x", "--label takes key=value"),
        ("git a --url https://x/a --username u --secret-ref s", "--secret-ref names a Secret that is there"),
        ("chart a --source p --chart p", "--source takes KIND/NAME"),
        ("oci a --url oci://x/a --verify-provider cosign --verify-issuer i", "go together"),
    ],
)
def test_what_makes_no_sense_is_named(words: str, says: str) -> None:
    """The field or the option, before anything is written."""
    with pytest.raises(FleetbeatError) as caught:
        made(words)
    assert says in caught.value.message


def test_a_password_is_never_printed() -> None:
    """The Secret that would be made is referred to, and nothing more."""
    account = ["--username", "u", "--password", "hidden"]
    done = CliRunner().invoke(app, ["create", "source", "git", "a", "--url", "https://x/a", *account, "--export"])
    assert yaml.safe_load(done.stdout)["spec"]["secretRef"] == {"name": "a"}
    assert "hidden" not in done.output
