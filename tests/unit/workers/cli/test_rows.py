"""How an object's state reads in a row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fleetbeat.api.kinds import KINDS
from workers.cli import rows
from workers.cli.terminal import Tone

pytestmark = pytest.mark.unit

SHA = "0123456789abcdef0123456789abcdef01234567"


def obj(
    kind: str, *, ready: tuple[str, str] | None = None, spec: dict[str, Any] | None = None, **status: Any
) -> rows.Obj:
    """An object with a Ready condition of (status, message)."""
    conditions = [{"type": "Ready", "status": ready[0], "reason": "R", "message": ready[1]}] if ready else []
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": {"name": "apps", "namespace": "team"},
        "spec": spec or {},
        "status": {**status, "conditions": conditions},
    }


def texts(kind: str, value: rows.Obj, **options: bool) -> dict[str, str]:
    """Header → text of one row."""
    columns = rows.columns_of(KINDS[kind], **options)
    return {
        header: cell.text
        for header, cell in zip(rows.headers(columns), rows.row(columns, KINDS[kind], value), strict=True)
    }


def test_a_kustomization_shows_what_flux_shows() -> None:
    """Name, applied revision, suspended, ready, message; hashes are cut to eight digits."""
    value = obj(
        "Kustomization", ready=("True", f"Applied revision: main@sha1:{SHA}"), lastAppliedRevision=f"main@sha1:{SHA}"
    )
    assert texts("Kustomization", value) == {
        "NAME": "apps",
        "REVISION": "main@sha1:01234567",
        "SUSPENDED": "False",
        "READY": "True",
        "MESSAGE": "Applied revision: main@sha1:01234567",
    }


def test_a_source_shows_the_revision_of_its_artifact() -> None:
    """Sources have no lastAppliedRevision."""
    value = obj("GitRepository", ready=("True", "stored"), artifact={"revision": f"main@sha1:{SHA}"})
    assert texts("GitRepository", value)["REVISION"] == "main@sha1:01234567"


def test_options_add_columns() -> None:
    """-A puts the namespace first, several kinds prefix the name, wide adds where it comes from."""
    value = obj(
        "Kustomization", spec={"sourceRef": {"kind": "GitRepository", "name": "repo"}, "path": "./a", "interval": "5m"}
    )
    found = texts("Kustomization", value, namespaced=True, prefixed=True, wide=True)
    assert list(found)[:2] == ["NAMESPACE", "NAME"]
    assert found["NAME"] == "kustomization/apps"
    assert (found["INTERVAL"], found["SOURCE"]) == ("5m", "GitRepository/repo ./a")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_row(kind: str) -> None:
    """An object without status still fills all of its columns."""
    value = {"metadata": {"name": "apps", "namespace": "team"}}
    for wide in (False, True):
        assert texts(kind, value, wide=wide)["NAME"] == "apps"


def test_a_kind_that_nothing_reconciles_is_marked() -> None:
    """A row without conditions says that it will stay so; one with conditions says that they are another's."""
    columns = rows.columns_of(KINDS["ImagePolicy"])
    *_, ready, message = rows.row(columns, KINDS["ImagePolicy"], obj("ImagePolicy"))
    assert (ready.text, ready.tone) == ("–", Tone.DIM)
    assert message.text == rows.NOT_RECONCILED
    assert texts("ImagePolicy", obj("ImagePolicy", ready=("True", "stored artifact")))["MESSAGE"].endswith(
        rows.ELSEWHERE
    )


@pytest.mark.parametrize(("maker", "elsewhere"), [("ArtifactGenerator", False), ("TerraformState", True)])
def test_an_external_artifact_is_whose_maker_is(maker: str, elsewhere: bool) -> None:
    """What a generator of ours makes is ours, what another program makes is not."""
    value = obj("ExternalArtifact", ready=("True", "Artifact is ready"))
    value["spec"] = {"sourceRef": {"apiVersion": "source.extensions.fluxcd.io/v1beta1", "kind": maker, "name": "apps"}}
    assert texts("ExternalArtifact", value)["MESSAGE"].endswith(rows.ELSEWHERE) is elsewhere


def test_an_owned_object_not_yet_seen_is_unknown() -> None:
    """No condition yet is not a failure."""
    found = texts("Kustomization", obj("Kustomization"))
    assert (found["READY"], found["MESSAGE"]) == ("Unknown", rows.WAITING)


def test_messages_are_one_line() -> None:
    """A list of rejections does not tear the table."""
    assert texts("Kustomization", obj("Kustomization", ready=("False", "a:\n  b\n  c")))["MESSAGE"] == "a: b c"


@pytest.mark.parametrize(("status", "tone"), [("True", Tone.GOOD), ("False", Tone.BAD), ("Unknown", Tone.WAIT)])
def test_only_state_is_coloured(status: str, tone: Tone) -> None:
    """READY carries the colour, its neighbours none."""
    columns = rows.columns_of(KINDS["Kustomization"])
    cells = rows.row(columns, KINDS["Kustomization"], obj("Kustomization", ready=(status, "m")))
    assert [cell.tone for cell in cells] == [Tone.PLAIN, Tone.PLAIN, Tone.PLAIN, tone, Tone.PLAIN]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (45, "45s"),
        (119, "119s"),
        (120, "2m"),
        (4800, "80m"),
        (7260, "2h1m"),
        (7200, "2h"),
        (86400, "24h"),
        (259200, "3d"),
    ],
)
def test_lengths_of_time_are_short(seconds: float, text: str) -> None:
    """One or two units are enough for a person."""
    assert rows.brief(seconds) == text


def test_ages_survive_bad_times() -> None:
    """A malformed time is empty, not an error."""
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert rows.age("2026-01-01T11:59:00Z", now) == "60s"
    assert rows.age("soon", now) == rows.clock("soon") == ""


def test_a_registry_is_ready_by_existing() -> None:
    """A HelmRepository of type oci has no status and waits for nothing."""
    value = texts("HelmRepository", obj("HelmRepository", spec={"type": "oci", "url": "oci://r.example/charts"}))
    assert (value["READY"], value["MESSAGE"]) == ("True", "a registry: HelmCharts read it themselves")
