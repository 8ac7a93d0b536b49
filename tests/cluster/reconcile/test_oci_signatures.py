"""Runs of OCIRepositories with spec.verify: what is signed comes in, what is not stays out, and says why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import ocirepository
from fleetbeat.reconcile.context import Context
from tests.support.cosigned import BUNDLE, PrivateKey, key_bundle, public_pem, simple_payload, statement
from tests.support.notary import JWS, NOTARY, Authority, trust_policy
from tests.support.ociapp import OciApp
from tests.support.runs import Runs
from tests.support.shelf import put_referrers
from tests.support.sigstore import Sigstore, new_key
from tools.registry import RegistryServer

pytestmark = pytest.mark.cluster

KEYED = {"provider": "cosign", "secretRef": {"name": "keys"}}
ISSUER, SUBJECT = "https://token.example.com", "ci@example.com"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def app(registry: RegistryServer) -> OciApp:
    """An empty repository."""
    return OciApp(registry, f"org/r-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def runs(ctx: Context, client: KubeClient, namespace: str) -> Runs:
    """No OCIRepository yet."""
    return Runs(ctx, client, namespace, {"OCIRepository": ocirepository.PIPELINE})


def follow(runs: Runs, app: OciApp, name: str = "apps", **verify: Any) -> None:
    """Write an OCIRepository with this spec.verify and run it."""
    spec = {"url": app.url, "insecure": True}
    runs.put("OCIRepository", name, **spec, **({"verify": verify} if verify else {}))
    runs.run()


def trust(runs: Runs, *keys: PrivateKey) -> None:
    """The Secret `keys` holds exactly these."""
    runs.secret("keys", **{f"key{place}_pub": public_pem(key).decode() for place, key in enumerate(keys)})


def refused(runs: Runs, words: str, name: str = "apps") -> None:
    """The last run failed by its signatures, and says so in both conditions and an event."""
    for kind in ("Ready", "SourceVerified"):
        told = runs.condition(name, kind)
        assert (told["status"], told["reason"]) == ("False", "VerificationError")
        assert words in told["message"]
    assert runs.condition(name, "FetchFailed") == {}
    assert ("VerificationError", runs.condition(name)["message"]) in runs.events()


def test_a_signed_artifact_comes_in_and_the_condition_names_the_key(runs: Runs, app: OciApp) -> None:
    """Whatever else is tagged, it is the digest that was signed."""
    key = new_key()
    target = app.push({"app.yaml": "value: 1"})
    app.sign(target, key)
    trust(runs, new_key(), key)
    follow(runs, app, **KEYED)
    told = runs.condition("apps", "SourceVerified")
    assert (told["status"], told["reason"]) == ("True", "Succeeded")
    assert told["message"] == f"verified signature of revision latest@{target.digest} by key key1.pub"
    assert runs.condition("apps")["status"] == "True"


def test_an_unsigned_artifact_stays_out_until_it_is_signed(runs: Runs, app: OciApp) -> None:
    """The signature alone, with the same digest, lets the next run succeed."""
    key = new_key()
    target = app.push({"app.yaml": "value: 1"})
    trust(runs, key)
    follow(runs, app, **KEYED)
    refused(runs, f"{target.digest} has no signature")
    assert runs.published("apps") == {}
    app.sign(target, key)
    runs.again("apps")
    assert runs.condition("apps", "SourceVerified")["status"] == "True"
    assert runs.published("apps")["revision"] == f"latest@{target.digest}"


def test_a_tag_that_moves_to_something_unsigned_changes_nothing(runs: Runs, app: OciApp) -> None:
    """The last good artifact stays published, in the status and in the store; going back is a success again."""
    key = new_key()
    target = app.push({"app.yaml": "value: 1"})
    app.sign(target, key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    before = runs.published("apps")
    app.push({"app.yaml": "value: 2"})
    runs.again("apps")
    refused(runs, "has no signature")
    assert runs.published("apps") == before
    assert runs.status("apps")["artifact"]["revision"] == f"latest@{target.digest}"
    assert len(runs.stored("apps")) == 1
    app.push({"app.yaml": "value: 1"})
    runs.again("apps")
    assert runs.condition("apps", "SourceVerified")["status"] == "True"


def test_the_signature_of_another_artifact_does_not_help(runs: Runs, app: OciApp) -> None:
    """Copied under the tag where cosign looks."""
    key = new_key()
    target, other = app.push({"app.yaml": "value: 1"}), app.push({"app.yaml": "value: 2"}, "other")
    app.sign(target, key, simple_payload(other.digest))
    trust(runs, key)
    follow(runs, app, **KEYED)
    refused(runs, "another artifact")


def test_nothing_is_verified_again_while_nothing_changed(runs: Runs, app: OciApp) -> None:
    """The signature is not even asked for; the condition stays as it was."""
    key = new_key()
    app.sign(app.push({"app.yaml": "value: 1"}), key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    told, asked = runs.condition("apps", "SourceVerified"), app.looked_up()
    assert asked > 0
    runs.again("apps")
    assert app.looked_up() == asked
    assert runs.condition("apps", "SourceVerified") == told


@pytest.mark.parametrize("change", ["revision", "generation"])
def test_a_new_revision_or_generation_is_verified(runs: Runs, app: OciApp, change: str) -> None:
    """Each of them is a reason of its own."""
    key = new_key()
    app.sign(app.push({"app.yaml": "value: 1"}), key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    asked = app.looked_up()
    if change == "revision":
        app.sign(app.push({"app.yaml": "value: 2"}), key)
        runs.again("apps")
    else:
        follow(runs, app, **KEYED)
    assert app.looked_up() > asked
    assert runs.condition("apps")["status"] == "True"


def test_a_key_that_is_taken_away_takes_effect(runs: Runs, app: OciApp) -> None:
    """The change of the Secret is a reason to verify again; the artifact of before stays, a new key heals."""
    key, other = new_key(), new_key()
    target = app.push({"app.yaml": "value: 1"})
    app.sign(target, key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    before = runs.published("apps")
    trust(runs, other)
    runs.state.poke_dependents(f"Secret/{runs.namespace}/keys", "Secret changed", urgent=True)
    assert runs.run() == {"apps": "Secret changed"}
    refused(runs, "made by none of the keys")
    assert runs.published("apps") == before
    trust(runs, other, key)
    runs.again("apps")
    assert runs.condition("apps", "SourceVerified")["status"] == "True"


def test_each_source_verifies_for_itself(runs: Runs, app: OciApp) -> None:
    """That another one trusts the same artifact is of no use to it."""
    key = new_key()
    app.sign(app.push({"app.yaml": "value: 1"}), key)
    trust(runs, key)
    runs.secret("others", cosign_pub=public_pem(new_key()).decode())
    follow(runs, app, "mine", **KEYED)
    follow(runs, app, "theirs", **{**KEYED, "secretRef": {"name": "others"}})
    assert runs.condition("mine")["status"] == "True"
    refused(runs, "made by none of the keys", "theirs")
    assert runs.published("theirs") == {}


def test_a_lost_memo_or_a_stale_condition_means_verifying_again(runs: Runs, app: OciApp) -> None:
    """What proves a check is never taken from one of them alone."""
    key = new_key()
    app.sign(app.push({"app.yaml": "value: 1"}), key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    asked = app.looked_up()
    runs.state.command("HDEL", "fb:{source}:memo", runs.ref("apps"))
    runs.again("apps")
    assert app.looked_up() > asked
    assert runs.condition("apps", "SourceVerified")["status"] == "True"


def test_without_verify_the_condition_goes(runs: Runs, app: OciApp) -> None:
    """And comes back with it."""
    key = new_key()
    app.sign(app.push({"app.yaml": "value: 1"}), key)
    trust(runs, key)
    follow(runs, app, **KEYED)
    follow(runs, app)
    assert runs.condition("apps", "SourceVerified") == {}
    follow(runs, app, **KEYED)
    assert runs.condition("apps", "SourceVerified")["status"] == "True"


def test_bundles_are_found_where_the_registry_has_no_referrers_api(runs: Runs, app: OciApp) -> None:
    """By the tag that clients keep up; this registry is such a one."""
    key = new_key()
    target = app.push({"app.yaml": "value: 1"})
    put_referrers(app.writer, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest))))
    trust(runs, key)
    follow(runs, app, **KEYED)
    assert runs.condition("apps", "SourceVerified")["message"].endswith("by key key0.pub")


def test_an_identity_may_sign_instead_of_a_key(runs: Runs, app: OciApp) -> None:
    """Against the root of the Secret; another issuer is not it."""
    sigstore, target = Sigstore(), app.push({"app.yaml": "value: 1"})
    put_referrers(app.writer, target, (BUNDLE, BUNDLE, sigstore.bundle(statement(target.digest), SUBJECT, ISSUER)))
    runs.secret("root", **{"trusted_root.json": sigstore.trusted_root().decode()})
    secret = {"trustedRootSecretRef": {"name": "root"}}
    follow(runs, app, provider="cosign", matchOIDCIdentity=[{"issuer": "^https://o", "subject": "^ci@"}], **secret)
    refused(runs, "whom spec.verify.matchOIDCIdentity does not allow")
    follow(runs, app, provider="cosign", matchOIDCIdentity=[{"issuer": "^https://t", "subject": "^ci@"}], **secret)
    message = runs.condition("apps", "SourceVerified")["message"]
    assert message.endswith(f"by identity {SUBJECT} of {ISSUER}")


def test_notation_signs_with_certificates(runs: Runs, app: OciApp) -> None:
    """By the trust policy of the Secret."""
    authority, target = Authority(), app.push({"app.yaml": "value: 1"})
    verify = {"provider": "notation", "secretRef": {"name": "notation"}}
    runs.secret("notation", trustpolicy_json=trust_policy().decode(), ca_crt=authority.pem.decode())
    follow(runs, app, **verify)
    refused(runs, "has no signature")
    put_referrers(app.writer, target, (NOTARY, JWS, authority.signer().envelope(target)))
    runs.again("apps")
    assert runs.condition("apps", "SourceVerified")["message"].endswith("by certificate 'CN=ci,O=acme,ST=BU,C=RO'")


@pytest.mark.parametrize(
    ("verify", "words"),
    [
        ({"provider": "notation"}, "spec.verify.secretRef must name the Secret"),
        ({"provider": "cosign", "matchOIDCIdentity": [{"issuer": "(", "subject": "x"}]}, "no regular expression"),
        ({**KEYED, "matchOIDCIdentity": [{"issuer": "x", "subject": "x"}]}, "is not supported for signatures by"),
    ],
)
def test_what_makes_no_sense_stalls(runs: Runs, app: OciApp, verify: dict[str, Any], words: str) -> None:
    """A person must change the spec; nothing is used meanwhile."""
    app.push({"app.yaml": "value: 1"})
    trust(runs, new_key())
    follow(runs, app, **verify)
    for kind in ("Ready", "SourceVerified"):
        assert runs.condition("apps", kind)["status"] == "False"
    assert runs.condition("apps", "Stalled")["reason"] == "ValidationFailed"
    assert words in runs.condition("apps")["message"]
    assert runs.published("apps") == {}


def test_a_secret_that_is_missing_is_told(runs: Runs, app: OciApp) -> None:
    """By name; it may come later."""
    app.push({"app.yaml": "value: 1"})
    follow(runs, app, **KEYED)
    refused(runs, f"spec.verify.secretRef: Secret {runs.namespace}/keys not found")
