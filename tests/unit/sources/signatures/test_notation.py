"""notation: whose JWS envelopes over what count, under a trust policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.signatures import Judge, SecretData, Target, Terms, judge_of, verify
from tests.support.notary import JWS, NOTARY, Authority, Key, Signer, self_signed, trust_policy
from tests.support.shelf import MemoryShelf, put_artifact, put_referrers

pytestmark = pytest.mark.unit

KEYS: dict[str, Callable[[], Key]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
}
EXPIRY = "io.cncf.notary.expiry"
PERMISSIVE = {"signatureVerification": {"level": "permissive"}}


def public_root() -> bytes:
    """Of no use here."""
    raise AssertionError("the public root was asked for")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whose certificates are trusted."""
    return Authority()


@pytest.fixture
def shelf() -> MemoryShelf:
    """An empty repository."""
    return MemoryShelf()


@pytest.fixture
def target(shelf: MemoryShelf) -> Target:
    """An artifact in it, not signed yet."""
    return put_artifact(shelf)


def judge(pem: bytes, **statement: Any) -> Judge:
    """The judge of a Secret with that certificate and a policy of one statement."""
    secret = SecretData("apps/notation", {"trustpolicy.json": trust_policy(**statement), "ca.crt": pem})
    return judge_of(Terms("notation", secret), "registry.example/app", public_root)


def sign(shelf: MemoryShelf, target: Target, signer: Signer, media_type: str = JWS, **how: Any) -> None:
    """Attach a signature."""
    put_referrers(shelf, target, (NOTARY, media_type, signer.envelope(target, **how)))


def refused(judge: Judge, shelf: MemoryShelf, target: Target, words: str) -> None:
    """Fails unless verification does, with these words."""
    with pytest.raises(VerificationFailed, match=words):
        verify(judge, shelf, target)


@pytest.mark.parametrize("maker", KEYS.values(), ids=KEYS)
def test_a_signature_by_a_trusted_authority_counts(
    shelf: MemoryShelf, target: Target, authority: Authority, maker: Callable[[], Key]
) -> None:
    """With each algorithm of the Notary Project; the answer names the subject."""
    sign(shelf, target, authority.signer(maker()))
    assert verify(judge(authority.pem), shelf, target).by == "certificate 'CN=ci,O=acme,ST=BU,C=RO'"


def test_a_certificate_of_its_own_counts_when_it_is_trusted(shelf: MemoryShelf, target: Target) -> None:
    """As test certificates of notation are; another of the same name does not."""
    mine, other = (self_signed(KEYS["rsa2048"]()) for _ in range(2))
    sign(shelf, target, mine)
    pems = [one.chain[0].public_bytes(Encoding.PEM) for one in (mine, other)]
    assert verify(judge(pems[0]), shelf, target).by.startswith("certificate")
    refused(judge(pems[1]), shelf, target, "leads to none that is trusted")


def test_another_authority_does_not_count(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """Even one of the same name."""
    sign(shelf, target, Authority(authority.name).signer())
    refused(judge(authority.pem), shelf, target, "leads to none that is trusted")


def test_a_certificate_that_the_authority_did_not_issue_does_not_count(
    shelf: MemoryShelf, target: Target, authority: Authority
) -> None:
    """A foreign leaf with a trusted root put behind it."""
    foreign = Authority(authority.name).signer()
    sign(shelf, target, Signer(foreign.key, (foreign.chain[0], authority.certificate)))
    refused(judge(authority.pem), shelf, target, "its chain of certificates does not hold")


def test_a_key_that_is_not_the_certificates_does_not_count(
    shelf: MemoryShelf, target: Target, authority: Authority
) -> None:
    """Anybody has the certificates, they are public."""
    sign(shelf, target, Signer(KEYS["p256"](), authority.signer().chain))
    refused(judge(authority.pem), shelf, target, "does not belong to payload and certificate")


def test_an_unsigned_artifact_does_not_count(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """At any level."""
    refused(judge(authority.pem, **PERMISSIVE), shelf, target, "has no signature")


@pytest.mark.parametrize("change", [{"digest": "sha256:" + "0" * 64}, {"size": 1}, {"mediaType": "text/plain"}])
def test_the_signature_of_another_artifact_does_not_count(
    shelf: MemoryShelf, target: Target, authority: Authority, change: dict[str, Any]
) -> None:
    """Digest, size and type must be those of the manifest."""
    sign(shelf, target, authority.signer(), artifact=change)
    refused(judge(authority.pem), shelf, target, "another artifact")


@pytest.mark.parametrize("identity", ["C=RO, ST=BU, O=acme", "CN=ci,O=acme,ST=BU,C=RO", "c=RO,S=BU,O=ac\\me"])
def test_a_trusted_identity_is_a_part_of_the_subject(
    shelf: MemoryShelf, target: Target, authority: Authority, identity: str
) -> None:
    """In any order."""
    sign(shelf, target, authority.signer())
    assert verify(judge(authority.pem, trustedIdentities=[f"x509.subject: {identity}"]), shelf, target)


def test_a_subject_that_is_not_trusted_does_not_count(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """The message names it."""
    sign(shelf, target, authority.signer(O="other"))
    rules = judge(authority.pem, trustedIdentities=["x509.subject: C=RO, ST=BU, O=acme"])
    refused(rules, shelf, target, "its subject 'CN=ci,O=other,ST=BU,C=RO' is not among the trustedIdentities")


def test_an_expired_signature_counts_where_expiry_is_only_logged(
    shelf: MemoryShelf, target: Target, authority: Authority
) -> None:
    """Level strict enforces it, permissive does not, and an override changes both."""
    gone = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    sign(shelf, target, authority.signer(), **{EXPIRY: gone, "crit": ["io.cncf.notary.signingScheme", EXPIRY]})
    refused(judge(authority.pem), shelf, target, "the signature expired at")
    assert verify(judge(authority.pem, **PERMISSIVE), shelf, target)
    enforced = {"level": "permissive", "override": {"expiry": "enforce"}}
    refused(judge(authority.pem, signatureVerification=enforced), shelf, target, "the signature expired at")


def test_an_expired_certificate_counts_where_time_is_only_logged(
    shelf: MemoryShelf, target: Target, authority: Authority
) -> None:
    """Without a timestamp nobody knows that it signed while it was valid."""
    sign(shelf, target, authority.signer(life=timedelta(days=-1)))
    refused(judge(authority.pem), shelf, target, "is not valid now")
    assert verify(judge(authority.pem, **PERMISSIVE), shelf, target)


def test_a_certificate_whose_revocation_would_have_to_be_looked_up_is_refused_where_that_is_enforced(
    shelf: MemoryShelf, target: Target, authority: Authority
) -> None:
    """It is not looked up, so it is not said to be fine."""
    sign(shelf, target, authority.signer(crl="http://crl.example/x.crl"))
    refused(judge(authority.pem), shelf, target, "revocation of its certificates is not looked up")
    skipped = {"level": "strict", "override": {"revocation": "skip"}}
    assert verify(judge(authority.pem, signatureVerification=skipped), shelf, target)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"usage": "key_agreement"}, "not for digital signatures alone"),
        ({"usage": "key_cert_sign"}, "not for digital signatures alone"),
        ({"extended": [ExtendedKeyUsageOID.SERVER_AUTH]}, "not for signing code"),
        ({"authority": True}, "the first certificate is an authority"),
    ],
)
def test_a_certificate_for_something_else_does_not_count(
    shelf: MemoryShelf, target: Target, authority: Authority, how: dict[str, Any], words: str
) -> None:
    """The same authority may have issued those of web servers."""
    sign(shelf, target, authority.signer(**how))
    refused(judge(authority.pem), shelf, target, words)


def test_a_leaf_is_no_authority(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """Whoever holds a certificate for signing cannot issue others."""
    holder = authority.signer(ec.generate_private_key(ec.SECP384R1()), CN="holder")
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    issued = Authority("ignored", holder.key).signer(issuer=holder.chain[0].subject)
    sign(shelf, target, Signer(issued.key, (issued.chain[0], *holder.chain)))
    refused(judge(authority.pem), shelf, target, "a certificate of its chain lacks basic constraints")


@pytest.mark.parametrize("below", [0, 1])
def test_an_authority_says_how_many_may_follow(shelf: MemoryShelf, target: Target, below: int) -> None:
    """One below the root is fine where the root allows it."""
    root = Authority("root", below=below)
    sign(shelf, target, Authority("between", issuer=root).signer())
    if below:
        assert verify(judge(root.pem), shelf, target)
    else:
        refused(judge(root.pem), shelf, target, "the chain is longer than an authority allows")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"alg": "ES384"}, "is not the certificate's ES256"),
        ({"alg": "none"}, "is not the certificate's ES256"),
        ({"cty": "text/plain"}, "not a payload of the Notary Project"),
        ({"io.cncf.notary.signingScheme": "notary.x509.signingAuthority"}, "is not supported; notary.x509 is"),
        ({"crit": ["io.cncf.notary.signingScheme", "io.cncf.notary.verificationPlugin"]}, "critical headers"),
        ({"crit": []}, "critical headers"),
    ],
)
def test_headers_that_are_not_understood_are_refused(
    shelf: MemoryShelf, target: Target, authority: Authority, headers: dict[str, Any], words: str
) -> None:
    """A critical one that is skipped would be a condition that nobody checks."""
    sign(shelf, target, authority.signer(), **headers)
    refused(judge(authority.pem), shelf, target, words)


def test_cose_is_refused_with_the_way_out(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """Clearly, not as a broken signature."""
    sign(shelf, target, authority.signer(), "application/cose")
    refused(judge(authority.pem), shelf, target, "'application/cose' is not supported; sign with JWS")


def test_junk_beside_a_sound_signature_hides_it_not(shelf: MemoryShelf, target: Target, authority: Authority) -> None:
    """Anybody who may push can attach something."""
    sound = authority.signer().envelope(target)
    put_referrers(shelf, target, (NOTARY, JWS, b"{"), (NOTARY, JWS, b'{"payload": 1}'), (NOTARY, JWS, sound))
    assert verify(judge(authority.pem), shelf, target)
