"""The bridge to the library `sigstore`, which verifies signatures made without a key.

Owns what the library leaves to its users: who may sign, what a DSSE statement must say, and cosign's classic
signatures, whose log entry carries the log's signed promise but no proof of inclusion. Everything is checked against
the trusted root that is given; nothing here reaches the network. Import it late (see keyless.py): it takes a second.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sigstore.errors import Error, VerificationError
from sigstore.models import Bundle, TransparencyLogEntry, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.bundle.v1 import Bundle as BundleModel
from sigstore_models.bundle.v1 import VerificationMaterial
from sigstore_models.common.v1 import LogId, MessageSignature, X509Certificate
from sigstore_models.rekor.v1 import InclusionPromise, InclusionProof, KindVersion
from sigstore_models.rekor.v1 import TransparencyLogEntry as EntryModel
from sigstore_models.trustroot.v1 import TrustedRoot as RootModel

from fleetbeat.sources.signatures.attached import BUNDLE, Envelope, SimpleSignature
from fleetbeat.sources.signatures.claims import check_simple, check_statement
from fleetbeat.sources.signatures.identity import Holder, Matcher
from fleetbeat.sources.signatures.logentry import Kind, Promise, read_promise
from fleetbeat.sources.signatures.model import Refused, Target, Verified, quoted


class _Who:
    """The library's policy: notes who signed, if they may."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self.matchers = matchers
        self.by = ""

    def verify(self, cert: x509.Certificate) -> None:
        """Raises Refused when the holder of the certificate is not meant."""
        holder = Holder.of(cert)
        subject = holder.matching(self.matchers)
        self.by = f"identity {subject} of {holder.issuer}"


class _PromisedEntry(TransparencyLogEntry):
    """An entry that the log promised to include: its signature over entry and time is what is verified."""

    def _validate(self) -> None:
        if not self._inner.inclusion_promise or not self._inner.integrated_time:
            raise VerificationError("the entry carries no promise of the log")

    def _verify(self, keyring: object) -> None:
        self._verify_set(keyring)  # type: ignore[arg-type]


class _PromisedBundle(Bundle):
    """A signature of classic cosign in the library's terms."""

    def _verify(self) -> None:
        material = self._inner.verification_material
        assert material.certificate is not None  # noqa: S101 - set by _classic below
        self._signing_certificate = x509.load_der_x509_certificate(material.certificate.raw_bytes)
        self._log_entry = _PromisedEntry(material.tlog_entries[0])


class Sigstore:
    """Verifies against one trusted root. Thread-safe."""

    def __init__(self, root: bytes) -> None:
        """`root` is a `trusted_root.json`; raises ValueError when it is none that can be used."""
        try:
            trusted = TrustedRoot(RootModel.from_json(root))
            trusted.get_fulcio_certs()
            self._verifier = Verifier(trusted_root=trusted)
        except (Error, ValueError) as error:
            raise ValueError(f"it is no usable trusted root: {quoted(error)}") from error

    def check(self, candidate: SimpleSignature | Envelope, matchers: Sequence[Matcher], target: Target) -> Verified:
        """Who signed the target; raises Refused."""
        who = _Who(matchers)
        with _refusing():
            if isinstance(candidate, Envelope):
                self._bundle(candidate, who, target)
            else:
                self._classic(candidate, who, target)
        return Verified(who.by)

    def _bundle(self, envelope: Envelope, who: _Who, target: Target) -> None:
        if not envelope.media_type.startswith(BUNDLE):
            raise Refused(f"a bundle of media type {quoted(envelope.media_type)} is not supported")
        kind, payload = self._verifier.verify_dsse(Bundle.from_json(envelope.data), who)
        check_statement(kind, payload, target.digest)

    def _classic(self, signature: SimpleSignature, who: _Who, target: Target) -> None:
        self._verifier.verify_artifact(signature.payload, _classic(signature), who)
        check_simple(signature.payload, target.digest)


@contextmanager
def _refusing() -> Iterator[None]:
    """What the library says of a signature is why it does not count."""
    try:
        yield
    except Error as error:
        raise Refused(f"a keyless signature does not verify: {quoted(error)}") from error


def _classic(signature: SimpleSignature) -> _PromisedBundle:
    if signature.certificate is None:
        raise Refused(
            "a signature has no certificate; if it was made with a key, name its Secret in spec.verify.secretRef"
        )
    if signature.log_entry is None:
        raise Refused("a signature without a key has no entry of a transparency log; sign it with one")
    promise, kind = read_promise(signature.log_entry)
    leaf = x509.load_pem_x509_certificate(signature.certificate)
    material = VerificationMaterial(
        certificate=X509Certificate(raw_bytes=base64.b64encode(leaf.public_bytes(Encoding.DER))),
        tlog_entries=[_entry(promise, kind)],
    )
    content = MessageSignature(signature=base64.b64encode(signature.signature))
    return _PromisedBundle(
        BundleModel(
            media_type="application/vnd.dev.sigstore.bundle.v0.3+json",
            verification_material=material,
            message_signature=content,
        )
    )


def _entry(promise: Promise, kind: Kind) -> EntryModel:
    payload = promise.payload
    absent = InclusionProof(log_index="0", root_hash=b"", tree_size="1", hashes=[])  # type: ignore[arg-type]
    return EntryModel(
        log_index=str(payload.log_index),  # type: ignore[arg-type]
        log_id=LogId(key_id=base64.b64encode(bytes.fromhex(payload.log_id))),
        kind_version=KindVersion(kind=kind.kind, version=kind.api_version),
        integrated_time=str(payload.integrated_time),  # type: ignore[arg-type]
        inclusion_promise=InclusionPromise(signed_entry_timestamp=promise.signature.encode()),
        inclusion_proof=absent,  # the model wants one; _PromisedEntry does not look at it
        canonicalized_body=payload.body.encode(),
    )
