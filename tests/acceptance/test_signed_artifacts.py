"""Gitless and verified: what the right key signed reaches the clusters from a registry, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import urllib3

from tests.support.cosigned import BUNDLE, PrivateKey, key_bundle, public_pem, simple_payload, statement
from tests.support.fleet import Fleet, config_map
from tests.support.ociapp import OciApp
from tests.support.shelf import put_referrers
from tests.support.sigstore import Sigstore, new_key
from tools.registry import RegistryServer

pytestmark = pytest.mark.acceptance

MAPS = "/api/v1/namespaces/default/configmaps"
SBOM = "https://spdx.dev/Document"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(autouse=True)
def gitless(fleet: Fleet) -> None:
    """No Git server is there to ask."""
    fleet.git.stop()


def manifests(name: str, value: str) -> dict[str, str]:
    """The content of an artifact."""
    return {"map.yaml": config_map(name, value=value)}


def follow(fleet: Fleet, app: OciApp, name: str, **verify: object) -> str:
    """The artifact on the hub and on the edge, if it is signed as `verify` says; returns the URL of its webhook."""
    fleet.resource("OCIRepository", name, {"url": app.url, "interval": "10m", "insecure": True, "verify": verify})
    source = {"kind": "OCIRepository", "name": name}
    fleet.kustomization(f"{name}-hub", name, sourceRef=source)
    fleet.kustomization(f"{name}-edge", name, sourceRef=source, edge=True)
    fleet.secret(f"{name}-token", token="any")
    hook = {"type": "generic", "secretRef": {"name": f"{name}-token"}, "resources": [source]}
    fleet.resource("Receiver", name, hook)
    path = fleet.until(lambda: fleet.get("Receiver", name)["status"]["webhookPath"], "the Receiver has a path")
    return fleet.stack.web_url + str(path)


def announce(fleet: Fleet, hook: str) -> None:
    """What a registry does after a push."""
    fleet.until(lambda: urllib3.request("POST", hook, timeout=30).status == 200, "the web role knows the path")


def values(fleet: Fleet, name: str) -> list[str]:
    """What runs on hub and edge."""
    return [cluster.api("GET", f"{MAPS}/{name}")["data"]["value"] for cluster in (fleet.hub, fleet.edge)]


def arrives(fleet: Fleet, name: str, revision: str) -> None:
    """Both clusters have that revision, and the source says by whom it was signed."""
    for place in ("hub", "edge"):
        fleet.wait_ready("Kustomization", f"{name}-{place}", revision)
    told = fleet.condition("OCIRepository", name, "SourceVerified")
    assert (told["status"], told["reason"]) == ("True", "Succeeded")
    assert f"verified signature of revision latest@{revision}" in told["message"]


def stays_out(fleet: Fleet, name: str, words: str) -> None:
    """The hub says why, and the clusters run what they ran."""

    def refused() -> bool:
        told = fleet.condition("OCIRepository", name, "SourceVerified")
        return told.get("reason") == "VerificationError" and told["status"] == "False" and words in told["message"]

    fleet.until(refused, f"{name} is refused: {words}", detail=lambda: str(fleet.get("OCIRepository", name)["status"]))
    assert fleet.wait_failed("OCIRepository", name, "VerificationError")


def release(app: OciApp, name: str, value: str, key: PrivateKey) -> str:
    """Push, sign and attach an SBOM; returns the digest."""
    target = app.push(manifests(name, value))
    app.sign(target, key)
    put_referrers(app.writer, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest, SBOM))))
    return target.digest


def test_what_is_signed_reaches_all_clusters_and_nothing_else_does(fleet: Fleet, registry: RegistryServer) -> None:
    """By webhook; what is unsigned, signed by another key or with another's signature stays out until it is signed."""
    key, app = new_key(), OciApp(registry, "org/signed")
    first = release(app, "signed", "1", key)
    fleet.secret("signed-keys", **{"cosign.pub": public_pem(key).decode()})
    hook = follow(fleet, app, "signed", provider="cosign", secretRef={"name": "signed-keys"})
    arrives(fleet, "signed", first)
    second = app.push(manifests("signed", "2"))
    announce(fleet, hook)
    stays_out(fleet, "signed", f"{second.digest} has no signature")
    app.sign(second, new_key())
    announce(fleet, hook)
    stays_out(fleet, "signed", "made by none of the keys")
    app.sign(second, key, simple_payload(first))
    announce(fleet, hook)
    stays_out(fleet, "signed", "another artifact")
    assert values(fleet, "signed") == ["1", "1"]
    app.sign(second, key)
    announce(fleet, hook)
    arrives(fleet, "signed", second.digest)
    assert values(fleet, "signed") == ["2", "2"]


def test_an_sbom_alone_is_no_signature(fleet: Fleet, registry: RegistryServer) -> None:
    """Even by the right key."""
    key, app = new_key(), OciApp(registry, "org/sbom")
    target = app.push(manifests("sbom", "1"))
    put_referrers(app.writer, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest, SBOM))))
    fleet.secret("sbom-keys", **{"cosign.pub": public_pem(key).decode()})
    follow(fleet, app, "sbom", provider="cosign", secretRef={"name": "sbom-keys"})
    stays_out(fleet, "sbom", "which is no signature")
    assert "sbom" not in {item["metadata"]["name"] for item in fleet.edge.api("GET", MAPS)["items"]}


def test_a_key_that_changes_takes_effect_at_once(fleet: Fleet, registry: RegistryServer) -> None:
    """The change of the Secret starts the run; what runs keeps running, and the right key makes it good again."""
    key, app = new_key(), OciApp(registry, "org/keys")
    digest = release(app, "keys", "1", key)
    fleet.secret("keys-keys", **{"cosign.pub": public_pem(key).decode()})
    follow(fleet, app, "keys", provider="cosign", secretRef={"name": "keys-keys"})
    arrives(fleet, "keys", digest)
    fleet.secret("keys-keys", **{"cosign.pub": public_pem(new_key()).decode()})
    stays_out(fleet, "keys", "made by none of the keys")
    assert values(fleet, "keys") == ["1", "1"]
    fleet.secret("keys-keys", **{"cosign.pub": public_pem(key).decode()})
    fleet.wait_ready("OCIRepository", "keys")
    arrives(fleet, "keys", digest)


def test_an_identity_signs_against_a_root_of_ones_own(fleet: Fleet, registry: RegistryServer) -> None:
    """Without keys; the workflow of another project is not believed."""
    sigstore, app, issuer = Sigstore(), OciApp(registry, "org/keyless"), "https://token.example.com"
    fleet.secret("keyless-root", **{"trusted_root.json": sigstore.trusted_root().decode()})

    def publish(value: str, project: str) -> str:
        target = app.push(manifests("keyless", value))
        bundle = sigstore.bundle(statement(target.digest), f"https://git.example.com/{project}/ci.yaml", issuer)
        put_referrers(app.writer, target, (BUNDLE, BUNDLE, bundle))
        return target.digest

    first = publish("1", "mine")
    identity = {"issuer": f"^{issuer}$", "subject": "^https://git.example.com/mine/"}
    root = {"trustedRootSecretRef": {"name": "keyless-root"}}
    hook = follow(fleet, app, "keyless", provider="cosign", matchOIDCIdentity=[identity], **root)
    arrives(fleet, "keyless", first)
    publish("2", "theirs")
    announce(fleet, hook)
    stays_out(fleet, "keyless", "whom spec.verify.matchOIDCIdentity does not allow")
    assert values(fleet, "keyless") == ["1", "1"]
