"""Whose root and which identities a keyless judge is made of."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from fleetbeat.errors import InvalidSpec, VerificationFailed
from fleetbeat.sources.signatures import Judge, SecretData, Target, Terms, judge_of, verify
from tests.support.cosigned import BUNDLE, statement
from tests.support.shelf import MemoryShelf, put_artifact, put_referrers
from tests.support.sigstore import Sigstore

pytestmark = pytest.mark.unit

ISSUER, SUBJECT = "https://token.example.com", "ci@example.com"


@dataclass(frozen=True)
class Who:
    """An entry of spec.verify.matchOIDCIdentity."""

    issuer: str = f"^{ISSUER}$"
    subject: str = f"^{SUBJECT}$"


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    """Whose root is trusted."""
    return Sigstore()


@pytest.fixture
def shelf() -> MemoryShelf:
    """An empty repository."""
    return MemoryShelf()


@pytest.fixture
def target(shelf: MemoryShelf, sigstore: Sigstore) -> Target:
    """An artifact in it, signed by the identity."""
    made = put_artifact(shelf)
    put_referrers(shelf, made, (BUNDLE, BUNDLE, sigstore.bundle(statement(made.digest), SUBJECT, ISSUER)))
    return made


def public_root() -> bytes:
    """A given root is the only one that counts."""
    raise AssertionError("the public root was asked for")


def keyless(sigstore: Sigstore, *who: Who) -> Judge:
    """The judge of a given root."""
    root = SecretData("apps/root", {"trusted_root.json": sigstore.trusted_root()})
    return judge_of(Terms("cosign", root=root, identities=who), "registry.example/app", public_root)


@pytest.mark.parametrize("root", [b"{}", b"\xff", b'{"mediaType": "x"}'])
def test_a_root_that_is_none_is_told_with_its_secret(shelf: MemoryShelf, target: Target, root: bytes) -> None:
    """It is the root that must be mended, not the signature."""
    judge = judge_of(Terms("cosign", root=SecretData("apps/root", {"trusted_root.json": root})), "r/x", public_root)
    with pytest.raises(VerificationFailed, match=r"Secret apps/root: the key trusted_root\.json: it is no usable"):
        verify(judge, shelf, target)


def test_a_root_secret_without_the_key_is_refused() -> None:
    """By name."""
    with pytest.raises(VerificationFailed, match=r"Secret apps/root lacks the key trusted_root\.json"):
        judge_of(Terms("cosign", root=SecretData("apps/root", {})), "r/x", public_root)


def test_a_pattern_that_does_not_compile_is_refused_with_its_place() -> None:
    """Before anything is fetched."""
    with pytest.raises(InvalidSpec, match=r"spec\.verify\.matchOIDCIdentity\[1\]\.subject"):
        judge_of(Terms("cosign", identities=[Who(), Who(subject="(")]), "r/x", public_root)


def test_the_public_root_is_asked_for_when_none_is_given(
    shelf: MemoryShelf, target: Target, sigstore: Sigstore
) -> None:
    """And only when there is a signature to verify."""
    judge = judge_of(Terms("cosign", identities=[Who()]), "r/x", sigstore.trusted_root)
    assert verify(judge, shelf, target).by.startswith("identity")


def test_roots_and_identities_make_the_fingerprint(sigstore: Sigstore) -> None:
    """Whatever lets other signatures count is a reason to verify again."""
    judges = keyless(sigstore, Who()), keyless(Sigstore(), Who()), keyless(sigstore, Who(issuer="x")), keyless(sigstore)
    assert len({judge.fingerprint for judge in judges}) == len(judges)
    assert keyless(sigstore, Who()).fingerprint == judges[0].fingerprint


def test_the_library_is_loaded_by_the_first_keyless_verification_only() -> None:
    """Its import takes a second, which workers without keyless sources must not pay."""
    code = "import sys, fleetbeat.sources.signatures; print([m for m in ('sigstore', 'tuf') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
