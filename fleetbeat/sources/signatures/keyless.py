"""Signatures made without a key: by an identity, with a certificate of a minute and an entry of a public log.

Owns whose identity counts and which trusted root is asked. The certificate's chain, its timestamp of the CT log, the
entry of the transparency log and the signature are verified by the library `sigstore` against that root alone. An
empty list of identities allows every identity that the root's authority certified, as with Flux.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.signatures.attached import Envelope, SimpleSignature, bundles, simple_signatures
from fleetbeat.sources.signatures.identity import Matcher
from fleetbeat.sources.signatures.model import Refused, Shelf, Target, Verified

if TYPE_CHECKING:
    from fleetbeat.sources.signatures.library import Sigstore

_LOADING = threading.Lock()
RootSource = Callable[[], bytes]
"""Gives a `trusted_root.json`; raises VerificationFailed when there is none to be had."""


@dataclass(frozen=True)
class Keyless:
    """Signatures count that one of these identities made."""

    matchers: tuple[Matcher, ...]
    root: bytes | RootSource
    """A given `trusted_root.json`, or where that of the public Sigstore comes from."""
    where: str
    """What names the root in messages: `Secret ns/name: the key trusted_root.json`."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of identities and root; the public root counts as one, whatever its keys are today."""
        root = hashlib.sha256(self.root).hexdigest() if isinstance(self.root, bytes) else "public"
        pairs = [(matcher.issuer.text, matcher.subject.text) for matcher in self.matchers]
        return hashlib.sha256(repr(("keyless", root, pairs)).encode()).hexdigest()

    def candidates(self, shelf: Shelf, target: Target) -> Iterator[SimpleSignature | Envelope | Refused]:
        """The bundles, then those under cosign's tag."""
        yield from bundles(shelf, target.digest)
        yield from simple_signatures(shelf, target.digest)

    def check(self, candidate: SimpleSignature | Envelope, target: Target) -> Verified:
        """Who made it; raises Refused, and VerificationFailed when the root is of no use."""
        root = self.root if isinstance(self.root, bytes) else self.root()
        try:
            sigstore = _sigstore(root)
        except ValueError as error:
            raise VerificationFailed(f"{self.where}: {error}") from error
        verified = sigstore.check(candidate, self.matchers, target)
        return verified if self.matchers else Verified(f"{verified.by}; spec.verify.matchOIDCIdentity allows anybody")


@lru_cache(maxsize=16)
def _sigstore(root: bytes) -> Sigstore:
    """The library over a root, by its content; imported by the first that needs it."""
    with _LOADING:
        from fleetbeat.sources.signatures.library import Sigstore

    return Sigstore(root)
