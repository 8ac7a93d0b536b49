"""cosign without keys, against a Sigstore of the test's own."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import pytest

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.signatures import Judge, SecretData, Target, Terms, judge_of, verify
from tests.support.cosigned import BUNDLE, key_bundle, sign, simple_payload, statement
from tests.support.shelf import MemoryShelf, put_artifact, put_referrers, put_simple
from tests.support.sigstore import Sigstore, new_key

pytestmark = pytest.mark.unit

ISSUER, SUBJECT = "https://token.example.com", "https://git.example.com/org/app/.ci/release.yaml@refs/tags/v1"
STORED = pytest.mark.parametrize("stored", ["tag", "bundle"])


@dataclass(frozen=True)
class Who:
    """An entry of spec.verify.matchOIDCIdentity."""

    issuer: str = f"^{ISSUER}$"
    subject: str = "^https://git.example.com/org/app/.*$"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    """Whose root is trusted."""
    return Sigstore()


@pytest.fixture
def shelf() -> MemoryShelf:
    """An empty repository."""
    return MemoryShelf()


@pytest.fixture
def target(shelf: MemoryShelf) -> Target:
    """An artifact in it, not signed yet."""
    return put_artifact(shelf)


def public_root() -> bytes:
    """A given root is the only one that counts."""
    raise AssertionError("the public root was asked for")


def keyless(sigstore: Sigstore, *who: Who) -> Judge:
    """The judge of a given root."""
    root = SecretData("apps/root", {"trusted_root.json": sigstore.trusted_root()})
    return judge_of(Terms("cosign", root=root, identities=who), "registry.example/app", public_root)


def put(
    shelf: MemoryShelf,
    target: Target,
    by: Sigstore,
    stored: str,
    about: str = "",
    *,
    subject: str = SUBJECT,
    issuer: str = ISSUER,
    stamped: bool = True,
) -> None:
    """Sign as an identity; `about` is another digest than the target's."""
    digest = about or target.digest
    if stored == "tag":
        payload = simple_payload(digest)
        signature, notes = by.classic(payload, subject, issuer, stamped=stamped)
        put_simple(shelf, target.digest, payload, signature, **notes)
    else:
        put_referrers(shelf, target, (BUNDLE, BUNDLE, by.bundle(statement(digest), subject, issuer, stamped=stamped)))


@STORED
@pytest.mark.parametrize("subject", [SUBJECT, "me@example.com"])
def test_a_signature_by_an_allowed_identity_counts(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str, subject: str
) -> None:
    """Any entry of the list will do; the answer names the identity."""
    put(shelf, target, sigstore, stored, subject=subject)
    judge = keyless(sigstore, Who(issuer="^nobody$"), Who(), Who(subject="^me@example.com$"))
    assert verify(judge, shelf, target).by == f"identity {subject} of {ISSUER}"


@STORED
@pytest.mark.parametrize(
    "who",
    [Who(issuer="^https://other$"), Who(subject="^https://git.example.com/org/other/.*$")],
    ids=["issuer", "subject"],
)
def test_issuer_and_subject_must_both_match(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str, who: Who
) -> None:
    """The message tells who signed."""
    put(shelf, target, sigstore, stored)
    with pytest.raises(
        VerificationFailed, match=r"it was signed by 'https://git\.example\.com/org/app.* does not allow"
    ):
        verify(keyless(sigstore, who), shelf, target)


@STORED
def test_without_identities_anybody_counts_and_it_is_said(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str
) -> None:
    """As Flux has it: the root's authority alone decides."""
    put(shelf, target, sigstore, stored)
    assert verify(keyless(sigstore), shelf, target).by.endswith("spec.verify.matchOIDCIdentity allows anybody")


@STORED
def test_only_the_given_root_counts(shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str) -> None:
    """A signature by another Sigstore does not verify."""
    put(shelf, target, Sigstore(), stored)
    with pytest.raises(VerificationFailed, match="does not verify"):
        verify(keyless(sigstore, Who()), shelf, target)


@STORED
@pytest.mark.parametrize(
    ("key", "words"),
    [("ca_key", "certificate chain"), ("ct_key", "SCT"), ("log_key", "invalid log entry")],
)
def test_each_service_of_the_root_must_have_signed(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str, key: str, words: str
) -> None:
    """An authority, CT log or transparency log with another key than the root's is not believed."""
    keys = {name: getattr(sigstore, name) for name in ("root_key", "ca_key", "ct_key", "log_key")}
    put(shelf, target, Sigstore(**keys | {key: new_key()}), stored)
    with pytest.raises(VerificationFailed, match=words):
        verify(keyless(sigstore, Who()), shelf, target)


@STORED
def test_a_certificate_that_the_ct_log_did_not_see_does_not_count(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str
) -> None:
    """One without its timestamp."""
    put(shelf, target, sigstore, stored, stamped=False)
    with pytest.raises(VerificationFailed, match="SCT"):
        verify(keyless(sigstore, Who()), shelf, target)


@STORED
def test_the_signature_of_another_artifact_does_not_count(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str
) -> None:
    """Copied over, it is still about the other one."""
    put(shelf, target, sigstore, stored, put_artifact(shelf, b"other", "other").digest)
    with pytest.raises(VerificationFailed, match="another artifact"):
        verify(keyless(sigstore, Who()), shelf, target)


def test_what_no_parser_takes_hides_no_sound_signature(shelf: MemoryShelf, target: Target, sigstore: Sigstore) -> None:
    """A certificate that is none, beside a sound bundle; alone it is told as unreadable."""
    payload = simple_payload(target.digest)
    signature, notes = sigstore.classic(payload, SUBJECT, ISSUER)
    put_simple(shelf, target.digest, payload, signature, certificate="junk", bundle=notes["bundle"])
    with pytest.raises(VerificationFailed, match="a signature cannot be read: ValueError"):
        verify(keyless(sigstore, Who()), shelf, target)
    put(shelf, target, sigstore, "bundle")
    assert verify(keyless(sigstore, Who()), shelf, target).by.startswith("identity")


def test_a_changed_payload_does_not_count(shelf: MemoryShelf, target: Target, sigstore: Sigstore) -> None:
    """Signature, certificate and log entry of another payload."""
    signature, notes = sigstore.classic(simple_payload("sha256:" + "0" * 64), SUBJECT, ISSUER)
    put_simple(shelf, target.digest, simple_payload(target.digest), signature, **notes)
    with pytest.raises(VerificationFailed, match="Signature is invalid for input"):
        verify(keyless(sigstore, Who()), shelf, target)


@pytest.mark.parametrize(
    "part",
    [
        "dsseEnvelope/payload",
        "verificationMaterial/tlogEntries/0/canonicalizedBody",
        "verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        "verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
        "verificationMaterial/tlogEntries/0/integratedTime",
    ],
)
def test_a_bundle_of_which_a_part_was_exchanged_does_not_count(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, part: str
) -> None:
    """By that of another sound bundle of the same identity."""
    mine, other = (
        json.loads(sigstore.bundle(payload, SUBJECT, ISSUER))
        for payload in (statement(target.digest), statement("sha256:" + "0" * 64))
    )
    *path, last = [int(step) if step.isdecimal() else step for step in part.split("/")]
    into, source = mine, other
    for step in path:
        into, source = into[step], source[step]
    into[last] = str(int(source[last]) - 3600) if last == "integratedTime" else source[last]
    put_referrers(shelf, target, (BUNDLE, BUNDLE, json.dumps(mine).encode()))
    with pytest.raises(VerificationFailed, match=r"does not verify|cannot be read"):
        verify(keyless(sigstore, Who()), shelf, target)


@pytest.mark.parametrize("part", ["integratedTime", "logIndex", "body"])
def test_a_promise_is_about_exactly_its_entry(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, part: str
) -> None:
    """Time, place and content are what the log signed."""
    payload = simple_payload(target.digest)
    signature, notes = sigstore.classic(payload, SUBJECT, ISSUER)
    told = json.loads(notes["bundle"])
    entry = told["Payload"]
    entry[part] = entry[part] + 1 if part != "body" else base64.b64encode(base64.b64decode(entry[part]) + b" ").decode()
    put_simple(shelf, target.digest, payload, signature, certificate=notes["certificate"], bundle=json.dumps(told))
    with pytest.raises(VerificationFailed, match="invalid inclusion promise"):
        verify(keyless(sigstore, Who()), shelf, target)


def test_a_log_entry_of_another_signature_does_not_count(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore
) -> None:
    """The promise must be about this signature by this certificate."""
    payload = simple_payload(target.digest)
    signature, notes = sigstore.classic(payload, SUBJECT, ISSUER)
    _, others = sigstore.classic(payload, SUBJECT, ISSUER)
    put_simple(shelf, target.digest, payload, signature, certificate=notes["certificate"], bundle=others["bundle"])
    with pytest.raises(VerificationFailed, match="inconsistent"):
        verify(keyless(sigstore, Who()), shelf, target)


def test_without_a_log_entry_a_signature_does_not_count(shelf: MemoryShelf, target: Target, sigstore: Sigstore) -> None:
    """Nobody would know when it was made."""
    payload = simple_payload(target.digest)
    signature, notes = sigstore.classic(payload, SUBJECT, ISSUER)
    put_simple(shelf, target.digest, payload, signature, certificate=notes["certificate"])
    with pytest.raises(VerificationFailed, match="no entry of a transparency log"):
        verify(keyless(sigstore, Who()), shelf, target)


@STORED
def test_a_signature_with_a_key_does_not_count(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore, stored: str
) -> None:
    """Whose key it would be is not said."""
    key, payload = new_key(), simple_payload(target.digest)
    if stored == "tag":
        put_simple(shelf, target.digest, payload, sign(key, payload))
    else:
        put_referrers(shelf, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest))))
    with pytest.raises(VerificationFailed, match="certificate"):
        verify(keyless(sigstore, Who()), shelf, target)


def test_an_unsigned_artifact_does_not_count(shelf: MemoryShelf, target: Target, sigstore: Sigstore) -> None:
    """The message says that there is nothing."""
    with pytest.raises(VerificationFailed, match="has no signature"):
        verify(keyless(sigstore, Who()), shelf, target)
