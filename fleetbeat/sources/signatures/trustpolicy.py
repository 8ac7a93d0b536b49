"""Notation's `trustpolicy.json`: which repositories' artifacts must be signed by whom, and how strictly.

Owns its form, the choice of the statement for a repository, and what of it is not supported, which is refused. Levels
that let unsigned artifacts pass (`skip`, `audit`) are not supported: leave out spec.verify instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography import x509

from fleetbeat.errors import InvalidSpec, VerificationFailed

KEY = "trustpolicy.json"
ANYWHERE = "*"
ANYBODY = "*"
_SUBJECT = "x509.subject:"
_LEVELS: Mapping[str, Mapping[str, str]] = {
    "strict": {
        "authenticity": "enforce",
        "authenticTimestamp": "enforce",
        "expiry": "enforce",
        "revocation": "enforce",
    },
    "permissive": {"authenticity": "enforce", "authenticTimestamp": "log", "expiry": "log", "revocation": "log"},
}
_REQUIRED = frozenset(("C", "ST", "O"))

Attributes = frozenset[tuple[str, str]]
"""`{("CN", "ci"), ("O", "acme")}`."""


class _Verification(msgspec.Struct, frozen=True, rename="camel"):
    level: str
    override: dict[str, str] = {}
    verify_timestamp: str = ""


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    registry_scopes: tuple[str, ...]
    signature_verification: _Verification
    trust_stores: tuple[str, ...] = ()
    trusted_identities: tuple[str, ...] = ()


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    version: str
    trust_policies: tuple[_Statement, ...]


_DOCUMENT = msgspec.json.Decoder(_Document)


@dataclass(frozen=True)
class Rules:
    """What holds for the artifacts of one repository."""

    name: str
    enforced: frozenset[str]
    """Of `authenticTimestamp`, `expiry`, `revocation`; authenticity always is."""
    identities: tuple[Attributes, ...]
    """Subjects that may sign, each by some of its attributes; empty: any that a trusted authority certified."""

    def allows(self, subject: x509.Name) -> bool:
        """Whether the subject of a certificate may sign."""
        attributes = {(part.rfc4514_attribute_name, str(part.value)) for part in subject}
        return not self.identities or any(identity <= attributes for identity in self.identities)


def read_rules(raw: bytes, repository: str, secret: str) -> Rules:
    """The rules of the statement for `repository` (`host/path`).

    Raises VerificationFailed when the document is wrong or has none, InvalidSpec for what is not supported.
    """
    where = f"Secret {secret}: {KEY}"
    try:
        document = _DOCUMENT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"{where} cannot be read: {error}") from error
    if document.version != "1.0":
        raise VerificationFailed(f"{where}: version must be 1.0, not {document.version!r}")
    _check_scopes(document.trust_policies, where)
    for scope in (repository, ANYWHERE):
        for statement in document.trust_policies:
            if scope in statement.registry_scopes:
                return _rules(statement, f"{where}: {statement.name}")
    raise VerificationFailed(f"{where} has no statement for {repository}; add it to its registryScopes")


def _check_scopes(statements: Sequence[_Statement], where: str) -> None:
    names = [statement.name for statement in statements]
    scopes = [scope for statement in statements for scope in statement.registry_scopes]
    if len(set(names)) != len(names) or len(set(scopes)) != len(scopes) or not all(names):
        raise VerificationFailed(f"{where}: names and registryScopes must be given, and each only once")
    if any(ANYWHERE in one.registry_scopes and len(one.registry_scopes) > 1 for one in statements):
        raise VerificationFailed(f"{where}: the registryScopes '*' must stand alone")


def _rules(statement: _Statement, where: str) -> Rules:
    verification = statement.signature_verification
    actions = _LEVELS.get(verification.level)
    if actions is None:
        raise InvalidSpec(f"{where}: level {verification.level!r} is not supported; strict and permissive are")
    actions = {**actions, **verification.override}
    if set(actions) != set(_LEVELS["strict"]) or actions["authenticity"] != "enforce":
        raise InvalidSpec(f"{where}: authenticity must be enforced, and integrity cannot be overridden")
    if not set(actions.values()) <= {"enforce", "log", "skip"}:
        raise VerificationFailed(f"{where}: override takes enforce, log and skip")
    _check_stores(statement.trust_stores, where)
    enforced = frozenset(name for name, action in actions.items() if action == "enforce")
    return Rules(statement.name, enforced, _identities(statement.trusted_identities, where))


def _check_stores(stores: Sequence[str], where: str) -> None:
    """All certificates of the Secret are one store of authorities, whatever it is called, as with Flux."""
    kinds = {store.partition(":")[0] for store in stores}
    if kinds != {"ca"}:
        others = ", ".join(sorted(kinds - {"ca"})) or "none"
        raise InvalidSpec(f"{where}: trustStores must be of type ca; {others} is not supported")


def _identities(texts: Sequence[str], where: str) -> tuple[Attributes, ...]:
    if not texts or (ANYBODY in texts and len(texts) > 1):
        raise VerificationFailed(f"{where}: trustedIdentities must name subjects, or '*' alone")
    return () if texts == (ANYBODY,) else tuple(_identity(text, where) for text in texts)


def _identity(text: str, where: str) -> Attributes:
    if not text.startswith(_SUBJECT):
        raise VerificationFailed(f"{where}: the trusted identity {text!r} must begin with {_SUBJECT}")
    pairs = [_attribute(part) for part in _split(text.removeprefix(_SUBJECT))]
    names = [name for name, _ in pairs]
    if not set(names) >= _REQUIRED or len(set(names)) != len(names) or not all(value for _, value in pairs):
        raise VerificationFailed(f"{where}: the trusted identity {text!r} needs C, ST and O, and each only once")
    return frozenset(pairs)


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    name = name.strip().upper()
    return "ST" if name == "S" else name, value.strip()


def _split(text: str) -> list[str]:
    """The parts between commas; a backslash takes the next character as it is."""
    parts, escaped = [""], False
    for character in text:
        if escaped or character not in ",+;\\":
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts
