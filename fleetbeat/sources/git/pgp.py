"""Signatures by OpenPGP keys, and the armored public keys that trust them.

Owns what a signature must fulfil besides being right: the key that made it, its certificate and the signature itself
are neither expired nor revoked *now*, as git's own check demands, whenever it was made: whoever holds a key that was
withdrawn could date a signature back. Sequoia reads and computes; it refuses broken algorithms by its own policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.git.sshsig import Rejected

if TYPE_CHECKING:
    from pysequoia import Cert
    from pysequoia.packet import Packet

BEGIN = b"-----BEGIN PGP SIGNATURE-----"
_SECRET_KEY = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"


def public_keys(data: bytes, where: str) -> list[Cert]:
    """The certificates of one or more armored public keys; raises VerificationFailed, naming `where`."""
    from pysequoia import Cert

    if _SECRET_KEY in data:
        raise VerificationFailed(f"{where} holds a private key; make it anew, and put only the public one here")
    try:
        found = Cert.split_bytes(data)
    except Exception as error:  # the library raises bare RuntimeErrors
        raise VerificationFailed(f"{where} is not an armored PGP public key: {_line(error)}") from None
    if not found:
        raise VerificationFailed(f"{where} is not an armored PGP public key; name SSH keys *.sshpub")
    return found


def unusable(cert: Cert) -> str:
    """Why no signature by that certificate counts now; empty when it may."""
    try:
        return "was revoked" if cert.is_revoked else _expired(cert.expiration)
    except Exception as error:  # its own signatures use algorithms that are broken
        return f"cannot be used: {_line(error)}"


def verify(payload: bytes, armored: bytes, trusted: Sequence[Cert]) -> str:
    """The fingerprint of the trusted primary key whose owner signed `payload`; raises Rejected."""
    from pysequoia import Sig
    from pysequoia import verify as check

    try:
        signature = Sig.from_bytes(armored)
    except Exception:
        raise Rejected("it is not a whole PGP signature") from None
    issuer = signature.issuer_fingerprint or signature.issuer_key_id or "unknown"
    if not any(_holds(cert, issuer) for cert in trusted):
        raise Rejected(f"it is by the PGP key {issuer.upper()}, which is not trusted")
    try:
        valid = check(bytes=payload, store=lambda _: list(trusted), signature=signature).valid_sigs
    except Exception:
        valid = []
    by_fingerprint = {cert.fingerprint: cert for cert in trusted}
    if len(valid) != 1 or valid[0].certificate not in by_fingerprint:
        raise Rejected(_guess(trusted, issuer))
    cert = by_fingerprint[valid[0].certificate]
    _require_current(cert, valid[0].signing_key)
    if _expired(signature.expiration):
        raise Rejected(f"it {_expired(signature.expiration)}")
    return str(cert.fingerprint).upper()


def _guess(trusted: Sequence[Cert], issuer: str) -> str:
    """A library that says no gives no reason; an expired or revoked key is the likeliest one that can be named."""
    for cert in trusted:
        if _holds(cert, issuer) and (reason := unusable(cert)):
            return f"it is by the PGP key {cert.fingerprint.upper()}, which {reason}"
    return f"it names the PGP key {issuer.upper()}, but is no valid signature by it for this content"


def _require_current(cert: Cert, signing_key: str) -> None:
    reason = unusable(cert) or (_subkey(cert, signing_key) if signing_key != cert.fingerprint else "")
    if reason:
        raise Rejected(f"it is by the PGP key {signing_key.upper()}, which {reason}")


def _subkey(cert: Cert, fingerprint: str) -> str:
    """Why no signature by that subkey counts now; empty when it may."""
    from pysequoia.packet import SignatureType

    key, signatures = _binding(cert, fingerprint)
    if key is None or key.key_created is None:
        return "is not bound to its primary key"
    if any(one.signature_type == SignatureType.SubkeyRevocation for one in signatures):
        return "was revoked"
    bindings = [
        (one.signature_created, one.key_validity_period)
        for one in signatures
        if one.signature_type == SignatureType.SubkeyBinding and one.signature_created is not None
    ]
    if not bindings:
        return "is not bound to its primary key"
    _, validity = max(bindings, key=lambda binding: binding[0])
    return _expired(key.key_created + validity) if validity else ""


def _binding(cert: Cert, fingerprint: str) -> tuple[Packet | None, list[Packet]]:
    """The packet of a subkey, and the signatures that speak of it."""
    from pysequoia.packet import Tag

    packets = list(_packets(cert))
    for position, packet in enumerate(packets):
        if packet.fingerprint == fingerprint:
            return packet, list(takewhile(lambda one: one.tag == Tag.Signature, packets[position + 1 :]))
    return None, []


def _packets(cert: Cert) -> list[Packet]:
    from pysequoia.packet import PacketPile

    return list(PacketPile.from_bytes(bytes(cert)))


def _holds(cert: Cert, issuer: str) -> bool:
    """Whether a key of the certificate has that fingerprint or key id."""
    return any(issuer in (packet.fingerprint, packet.key_id) for packet in _packets(cert))


def _expired(when: datetime | None) -> str:
    if when is None:
        return ""
    return f"expired on {when:%Y-%m-%d}" if when <= datetime.now(UTC) else ""


def _line(error: Exception) -> str:
    """The first line; the library adds a stack trace in some environments."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
