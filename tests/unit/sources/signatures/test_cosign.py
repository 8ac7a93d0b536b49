"""cosign with keys: whose signatures over what count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleetbeat.errors import InvalidSpec, VerificationFailed
from fleetbeat.sources.signatures import Judge, SecretData, Target, Terms, judge_of, verify
from tests.support.cosigned import BUNDLE, PrivateKey, key_bundle, public_pem, sign, simple_payload, statement
from tests.support.shelf import MemoryShelf, push, put_artifact, put_referrers, put_simple
from tests.support.sigstore import new_key

pytestmark = pytest.mark.unit

MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "p256": new_key,
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def public_root() -> bytes:
    """A signature with a key needs no trusted root."""
    raise AssertionError("the public root was asked for")


def keyed(**keys: bytes) -> Judge:
    """The judge of a Secret with these public keys."""
    data = {name.replace("_", "."): pem for name, pem in keys.items()}
    return judge_of(Terms("cosign", SecretData("apps/keys", data)), "registry.example/app", public_root)


@pytest.fixture
def shelf() -> MemoryShelf:
    """An empty repository."""
    return MemoryShelf()


@pytest.fixture
def target(shelf: MemoryShelf) -> Target:
    """An artifact in it, not signed yet."""
    return put_artifact(shelf)


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("stored", ["tag", "bundle"])
def test_a_signature_by_a_key_of_the_secret_counts(
    shelf: MemoryShelf, target: Target, maker: Callable[[], PrivateKey], stored: str
) -> None:
    """However it is stored; the answer names the key."""
    key = maker()
    if stored == "tag":
        payload = simple_payload(target.digest)
        put_simple(shelf, target.digest, payload, sign(key, payload))
    else:
        put_referrers(shelf, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest))))
    judge = keyed(old_pub=public_pem(new_key()), release_pub=public_pem(key))
    assert verify(judge, shelf, target).by == "key release.pub"


@pytest.mark.parametrize("stored", ["tag", "bundle"])
def test_another_key_does_not_count(shelf: MemoryShelf, target: Target, stored: str) -> None:
    """The message names the keys that were tried."""
    payload = simple_payload(target.digest)
    if stored == "tag":
        put_simple(shelf, target.digest, payload, sign(new_key(), payload))
    else:
        put_referrers(shelf, target, (BUNDLE, BUNDLE, key_bundle(new_key(), statement(target.digest))))
    with pytest.raises(VerificationFailed, match=r"made by none of the keys cosign\.pub"):
        verify(keyed(cosign_pub=public_pem(new_key())), shelf, target)


def test_an_unsigned_artifact_is_said_to_have_no_signature(shelf: MemoryShelf, target: Target) -> None:
    """With repository and digest."""
    with pytest.raises(VerificationFailed, match=f"registry.example/app@{target.digest} has no signature"):
        verify(keyed(cosign_pub=public_pem(new_key())), shelf, target)


@pytest.mark.parametrize("stored", ["tag", "bundle"])
def test_the_signature_of_another_artifact_does_not_count(shelf: MemoryShelf, target: Target, stored: str) -> None:
    """Copied over, it is still about the other one."""
    key = new_key()
    other = put_artifact(shelf, b"other", "other")
    if stored == "tag":
        payload = simple_payload(other.digest)
        put_simple(shelf, target.digest, payload, sign(key, payload))
    else:
        put_referrers(shelf, target, (BUNDLE, BUNDLE, key_bundle(key, statement(other.digest))))
    with pytest.raises(VerificationFailed, match="another artifact"):
        verify(keyed(cosign_pub=public_pem(key)), shelf, target)


def test_a_payload_that_was_changed_does_not_count(shelf: MemoryShelf, target: Target) -> None:
    """The signature is over exactly the payload's bytes."""
    key, other = new_key(), simple_payload("sha256:" + "0" * 64)
    put_simple(shelf, target.digest, simple_payload(target.digest), sign(key, other))
    with pytest.raises(VerificationFailed, match="made by none of the keys"):
        verify(keyed(cosign_pub=public_pem(key)), shelf, target)


def test_one_sound_signature_among_others_is_enough(shelf: MemoryShelf, target: Target) -> None:
    """Whatever lies beside it hides it not, even what no parser takes."""
    key = new_key()
    bundle = key_bundle(key, statement(target.digest))
    junk = (BUNDLE, BUNDLE, b"\xff{"), (BUNDLE, "text/plain", b"hello"), ("application/spdx+json", "text/plain", b"{}")
    put_referrers(shelf, target, *junk, (BUNDLE, BUNDLE, key_bundle(new_key(), b"{}")), (BUNDLE, BUNDLE, bundle))
    assert verify(keyed(cosign_pub=public_pem(key)), shelf, target).by == "key cosign.pub"


def test_an_attestation_is_no_signature(shelf: MemoryShelf, target: Target) -> None:
    """An SBOM by the same key says nothing about whether to deploy."""
    key = new_key()
    put_referrers(
        shelf, target, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest, "https://spdx.dev/Document")))
    )
    with pytest.raises(VerificationFailed, match=r"an attestation 'https://spdx\.dev/Document', which is no signature"):
        verify(keyed(cosign_pub=public_pem(key)), shelf, target)


def test_a_signed_blob_of_another_type_is_no_signature(shelf: MemoryShelf, target: Target) -> None:
    """A payload that only looks alike does not count."""
    key, payload = new_key(), simple_payload(target.digest, type="a note")
    put_simple(shelf, target.digest, payload, sign(key, payload))
    with pytest.raises(VerificationFailed, match="of type 'a note', not a signature"):
        verify(keyed(cosign_pub=public_pem(key)), shelf, target)


def test_a_referrer_about_another_subject_does_not_count(shelf: MemoryShelf, target: Target) -> None:
    """An index that lists a foreign signature is not believed."""
    key = new_key()
    other = put_artifact(shelf, b"other", "other")
    put_referrers(shelf, other, (BUNDLE, BUNDLE, key_bundle(key, statement(target.digest))))
    index = shelf.manifest(other.digest.replace(":", "-"))
    assert index is not None
    shelf.put_manifest(target.digest.replace(":", "-"), index.raw, index.media_type)
    with pytest.raises(VerificationFailed, match="is about another artifact"):
        verify(keyed(cosign_pub=public_pem(key)), shelf, target)


def test_a_layer_without_a_signature_is_told(shelf: MemoryShelf, target: Target) -> None:
    """A tag of the right name with no annotation."""
    layer = ("application/vnd.dev.cosign.simplesigning.v1+json", simple_payload(target.digest), {})
    push(shelf, f"{target.digest.replace(':', '-')}.sig", [layer])
    with pytest.raises(VerificationFailed, match="no signature in its annotation"):
        verify(keyed(cosign_pub=public_pem(new_key())), shelf, target)


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (b"nonsense", "not a public key in PEM"),
        (public_pem(rsa.generate_private_key(65537, 1024)), "not supported"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "not supported"),
        (new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "a private key"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_by_name(pem: bytes, words: str) -> None:
    """Even beside a good one; the message shows nothing of it."""
    with pytest.raises(VerificationFailed, match=rf"Secret apps/keys: the key bad\.pub .*{words}") as caught:
        keyed(bad_pub=pem, good_pub=public_pem(new_key()))
    assert pem.decode()[30:60] not in caught.value.message or len(pem) < 30


def test_a_secret_without_a_public_key_is_refused() -> None:
    """The message says which keys it has."""
    with pytest.raises(VerificationFailed, match=r"has no public key; .* it has cosign\.key"):
        keyed(cosign_key=b"x")


def test_identities_beside_keys_are_refused() -> None:
    """They would look like a condition that nobody checks."""

    class Anybody:
        issuer = subject = ".*"

    secret = SecretData("apps/keys", {"cosign.pub": public_pem(new_key())})
    with pytest.raises(InvalidSpec, match="matchOIDCIdentity is not supported for signatures by the keys"):
        judge_of(Terms("cosign", secret, identities=[Anybody()]), "r/x", public_root)


def test_equal_keys_have_one_fingerprint_and_others_another() -> None:
    """It moves with a key's content, and does not show it."""
    first, second = public_pem(new_key()), public_pem(new_key())
    assert keyed(a_pub=first).fingerprint == keyed(a_pub=first + b"\n").fingerprint
    assert len({keyed(a_pub=first).fingerprint, keyed(a_pub=second).fingerprint, keyed(b_pub=first).fingerprint}) == 3
