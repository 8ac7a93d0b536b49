"""From spec.verify and the content of its Secrets to whose signatures count.

Owns which fields go together. It reads no Secret itself; what is not supported is refused with InvalidSpec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fleetbeat.errors import InvalidSpec, VerificationFailed
from fleetbeat.sources.patterns import compile_pattern
from fleetbeat.sources.signatures.certificates import load_certificates
from fleetbeat.sources.signatures.cosign import Keyed
from fleetbeat.sources.signatures.identity import Matcher
from fleetbeat.sources.signatures.keyless import Keyless, RootSource
from fleetbeat.sources.signatures.keys import load_keys
from fleetbeat.sources.signatures.model import Judge
from fleetbeat.sources.signatures.notation import Notation
from fleetbeat.sources.signatures.trustpolicy import KEY as TRUST_POLICY
from fleetbeat.sources.signatures.trustpolicy import read_rules

ROOT_KEY = "trusted_root.json"


@dataclass(frozen=True)
class SecretData:
    """The content of a Secret."""

    name: str
    """`namespace/name`, for messages."""
    data: Mapping[str, bytes] = field(repr=False)


class Identity(Protocol):
    """An entry of spec.verify.matchOIDCIdentity."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...


@dataclass(frozen=True)
class Terms:
    """spec.verify with its Secrets."""

    provider: str
    """`cosign` or `notation`."""
    secret: SecretData | None = None
    root: SecretData | None = None
    """What spec.verify.trustedRootSecretRef names."""
    identities: Sequence[Identity] = ()


def judge_of(terms: Terms, repository: str, public_root: RootSource) -> Judge:
    """Whose signatures count for artifacts of `repository` (`host/path`).

    `public_root` gives the trusted root of the public Sigstore when it is needed. Raises InvalidSpec when fields do not
    go together, VerificationFailed when a Secret is of no use.
    """
    if terms.provider == "notation":
        return _notation(terms, repository)
    if terms.provider != "cosign":
        raise InvalidSpec(f"spec.verify.provider {terms.provider!r} is not supported; cosign and notation are")
    if terms.secret is not None:
        _refuse_identities(terms, "signatures by the keys of spec.verify.secretRef")
        return Keyed(load_keys(terms.secret.data, terms.secret.name))
    return _keyless(terms, public_root)


def _notation(terms: Terms, repository: str) -> Notation:
    if terms.secret is None:
        raise InvalidSpec(f"spec.verify.secretRef must name the Secret with {TRUST_POLICY} and certificates")
    _refuse_identities(terms, "provider notation")
    raw = terms.secret.data.get(TRUST_POLICY)
    if raw is None:
        raise VerificationFailed(f"Secret {terms.secret.name} lacks the key {TRUST_POLICY}")
    rules = read_rules(raw, repository, terms.secret.name)
    return Notation(rules, load_certificates(terms.secret.data, terms.secret.name))


def _keyless(terms: Terms, public_root: RootSource) -> Keyless:
    matchers = tuple(
        Matcher(
            compile_pattern(one.issuer, f"spec.verify.matchOIDCIdentity[{place}].issuer"),
            compile_pattern(one.subject, f"spec.verify.matchOIDCIdentity[{place}].subject"),
        )
        for place, one in enumerate(terms.identities)
    )
    if terms.root is None:
        return Keyless(matchers, public_root, "the public trusted root of Sigstore")
    root = terms.root.data.get(ROOT_KEY)
    if root is None:
        raise VerificationFailed(f"Secret {terms.root.name} lacks the key {ROOT_KEY}")
    return Keyless(matchers, root, f"Secret {terms.root.name}: the key {ROOT_KEY}")


def _refuse_identities(terms: Terms, what: str) -> None:
    """Left standing, they would look like a condition that nobody checks."""
    if terms.identities:
        raise InvalidSpec(f"spec.verify.matchOIDCIdentity is not supported for {what}; remove it")
