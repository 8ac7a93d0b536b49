"""trustpolicy.json and its Secret: what is understood, and what is refused before anything is fetched."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbeat.errors import InvalidSpec, VerificationFailed
from fleetbeat.sources.signatures import Judge, SecretData, Terms, judge_of
from tests.support.notary import Authority, trust_policy

pytestmark = pytest.mark.unit

PERMISSIVE = {"signatureVerification": {"level": "permissive"}}


def public_root() -> bytes:
    """Of no use here."""
    raise AssertionError("the public root was asked for")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whose certificates are trusted."""
    return Authority()


def judge(pem: bytes, **statement: Any) -> Judge:
    """The judge of a Secret with that certificate and a policy of one statement."""
    secret = SecretData("apps/notation", {"trustpolicy.json": trust_policy(**statement), "ca.crt": pem})
    return judge_of(Terms("notation", secret), "registry.example/app", public_root)


@pytest.mark.parametrize(
    ("statement", "error", "words"),
    [
        ({"signatureVerification": {"level": "skip"}}, InvalidSpec, "level 'skip' is not supported"),
        ({"signatureVerification": {"level": "audit"}}, InvalidSpec, "level 'audit' is not supported"),
        (
            {"signatureVerification": {"level": "strict", "override": {"authenticity": "log"}}},
            InvalidSpec,
            "authenticity must be enforced",
        ),
        (
            {"signatureVerification": {"level": "strict", "override": {"integrity": "log"}}},
            InvalidSpec,
            "integrity cannot be overridden",
        ),
        ({"trustStores": ["ca:x", "tsa:y"]}, InvalidSpec, "tsa is not supported"),
        ({"trustStores": []}, InvalidSpec, "must be of type ca"),
        ({"registryScopes": ["registry.example/other"]}, VerificationFailed, "no statement for registry.example/app"),
        ({"registryScopes": ["*", "registry.example/app"]}, VerificationFailed, "must stand alone"),
        ({"trustedIdentities": []}, VerificationFailed, "must name subjects"),
        ({"trustedIdentities": ["x509.subject: O=acme"]}, VerificationFailed, "needs C, ST and O"),
        ({"trustedIdentities": ["CN=ci"]}, VerificationFailed, "must begin with x509.subject:"),
    ],
)
def test_a_policy_that_is_wrong_or_not_supported_is_refused(
    authority: Authority, statement: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Before anything is fetched, with Secret and statement."""
    with pytest.raises(error, match=f"Secret apps/notation: trustpolicy.json.*{words}"):
        judge(authority.pem, **statement)


def test_the_statement_for_the_repository_goes_before_the_one_for_all(authority: Authority) -> None:
    """Here it is the one that is not supported."""
    with pytest.raises(InvalidSpec, match="level 'audit'"):
        judge(
            authority.pem,
            registryScopes=["registry.example/app"],
            signatureVerification={"level": "audit"},
        )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"ca.crt": b"x"}, r"lacks the key trustpolicy\.json"),
        ({"trustpolicy.json": b"{"}, "cannot be read"),
        ({"trustpolicy.json": trust_policy()}, "has no certificate"),
        ({"trustpolicy.json": trust_policy(), "ca.pem": b"junk"}, r"the key ca\.pem is not a certificate"),
    ],
)
def test_a_secret_that_cannot_be_used_is_refused(data: dict[str, bytes], words: str) -> None:
    """By name and key."""
    with pytest.raises(VerificationFailed, match=f"Secret apps/notation.*{words}"):
        judge_of(Terms("notation", SecretData("apps/notation", data)), "registry.example/app", public_root)


def test_notation_without_a_secret_is_refused() -> None:
    """There is nobody to trust."""
    with pytest.raises(InvalidSpec, match=r"must name the Secret with trustpolicy\.json"):
        judge_of(Terms("notation"), "registry.example/app", public_root)


def test_rules_and_certificates_make_the_fingerprint(authority: Authority) -> None:
    """Whatever lets other signatures count is a reason to verify again."""
    judges = [
        judge(authority.pem),
        judge(Authority().pem),
        judge(authority.pem, **PERMISSIVE),
        judge(authority.pem, trustedIdentities=["x509.subject: C=RO, ST=BU, O=acme"]),
    ]
    assert len({one.fingerprint for one in judges}) == len(judges)
    assert judge(authority.pem).fingerprint == judges[0].fingerprint
