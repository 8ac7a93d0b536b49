"""What a GitRepository takes in: only what is signed, and the content of other sources."""

from __future__ import annotations

import pytest

from tests.support import signing
from tests.support.fleet import Fleet, config_map
from tests.support.signing import PgpSigner, SshSigner

pytestmark = pytest.mark.acceptance

MAP = "/api/v1/namespaces/default/configmaps/signed"


def test_only_signed_commits_reach_a_cluster(fleet: Fleet) -> None:
    """An unsigned commit and one by an unknown key change nothing, and the hub says why; a signed one goes on."""
    ann, mallory = PgpSigner.make(), SshSigner.make()
    fleet.secret("authors", **{"ann.asc": ann.public.decode()})
    repo = fleet.git.create("signed")
    repo.commit({"a.yaml": config_map("signed", v="1")})
    first = signing.sign_head(repo, ann)
    fleet.source("signed", repo.url, verify={"mode": "HEAD", "secretRef": {"name": "authors"}})
    fleet.kustomization("signed", "signed", edge=True)
    fleet.wait_ready("Kustomization", "signed", first)
    told = fleet.condition("GitRepository", "signed", "SourceVerified")
    assert (told["status"], told["reason"]) == ("True", "Succeeded")
    assert ann.fingerprint in told["message"]

    fleet.push(repo, "signed", {"a.yaml": config_map("signed", v="2")})
    assert "is not signed" in fleet.wait_failed("GitRepository", "signed", "InvalidCommitSignature")["message"]
    signing.sign_head(repo, mallory)
    fleet.reconcile("GitRepository", "signed")
    failed = fleet.condition("GitRepository", "signed", "SourceVerified")
    assert (failed["status"], mallory.fingerprint in failed["message"]) == ("False", True)
    asked = fleet.reconcile("Kustomization", "signed")
    assert asked["status"]["lastAppliedRevision"] == f"main@sha1:{first}"
    assert fleet.edge.api("GET", MAP)["data"] == {"v": "1"}

    fleet.secret("authors", **{"ann.asc": ann.public.decode(), "mallory.sshpub": mallory.public.decode()})
    fleet.wait_ready("Kustomization", "signed", repo.head())
    assert fleet.edge.api("GET", MAP)["data"] == {"v": "2"}
    fleet.secret("authors", **{"mallory.sshpub": SshSigner.make().public.decode()})
    fleet.wait_failed("GitRepository", "signed", "InvalidCommitSignature")
    assert fleet.edge.api("GET", MAP)["data"] == {"v": "2"}


def test_an_included_source_reaches_a_cluster(fleet: Fleet) -> None:
    """A commit to either repository does, without anybody touching the other."""
    library = fleet.repository("library", {"maps/shared.yaml": config_map("shared", v="1")})
    app = fleet.repository(
        "app",
        {"own.yaml": config_map("own", v="1")},
        include=[{"repository": {"name": "library"}, "fromPath": "maps", "toPath": "vendor/maps"}],
    )
    fleet.kustomization("app", "app", edge=True)
    fleet.wait_ready("Kustomization", "app", app.head())
    assert {name: _data(fleet, name) for name in ("own", "shared")} == {"own": {"v": "1"}, "shared": {"v": "1"}}
    fleet.push(library, "library", {"maps/shared.yaml": config_map("shared", v="2")})
    fleet.until(lambda: _data(fleet, "shared") == {"v": "2"}, "the included change")
    fleet.wait_ready("GitRepository", "app", app.head())
    (included,) = fleet.get("GitRepository", "app")["status"]["includedArtifacts"]
    assert included["revision"] == f"main@sha1:{library.head()}"


def _data(fleet: Fleet, name: str) -> dict[str, str]:
    data: dict[str, str] = fleet.edge.api("GET", f"/api/v1/namespaces/default/configmaps/{name}")["data"]
    return data
