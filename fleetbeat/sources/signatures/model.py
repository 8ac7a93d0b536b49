"""What verification is about: the artifact, where its signatures lie, and the two ways it ends.

Owns the types at the seams of this package. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fleetbeat.errors import FleetbeatError, VerificationFailed
from fleetbeat.sources.oci.manifest import Descriptor, Manifest

TOLD = 3
"""How many refused signatures a message tells of."""
LONGEST = 200
"""Characters of a text by strangers that a message repeats."""


class Shelf(Protocol):
    """The repository in which an artifact and its signatures lie. Everything is bounded and has a deadline."""

    def manifest(self, reference: str) -> Manifest | None:
        """The manifest of a tag or digest, None when there is none; its bytes have the digest it says."""

    def blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A blob, whose digest and size were verified; raises OCIPullFailed when it is larger than `limit`."""

    def referrers(self, digest: str) -> Sequence[Descriptor]:
        """The manifests whose `subject` is `digest`, by the referrers API or its fallback tag."""


@dataclass(frozen=True)
class Target:
    """The manifest that must be signed."""

    repository: str
    """`host/path`."""
    digest: str
    media_type: str
    size: int

    @classmethod
    def of(cls, repository: str, manifest: Manifest) -> Target:
        """The target that a manifest is, in that repository."""
        return cls(repository, manifest.digest, manifest.media_type, len(manifest.raw))


@dataclass(frozen=True)
class Verified:
    """Who signed."""

    by: str
    """`key cosign.pub`, `identity me@example.com of https://accounts.example.com`."""


class Refused(Exception):
    """One signature does not count; another may."""


class Judge(Protocol):
    """Whose signatures count, by one spec.verify."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs when anything differs that makes signatures count."""

    def candidates(self, shelf: Shelf, target: Target) -> Iterator[Any]:
        """What may be a signature of the target, lazily and bounded."""

    def check(self, candidate: Any, target: Target) -> Verified:
        """Who made that signature; raises Refused when it does not count."""


def verify(judge: Judge, shelf: Shelf, target: Target) -> Verified:
    """The first signature that counts; raises VerificationFailed, which says why the others do not."""
    reasons: list[str] = []
    for candidate in judge.candidates(shelf, target):
        try:
            if isinstance(candidate, Refused):
                raise candidate
            return judge.check(candidate, target)
        except Refused as refused:
            reasons.append(str(refused))
        except FleetbeatError:
            raise
        except Exception as error:  # bytes by strangers: what breaks a parser is no signature, and hides no sound one
            reasons.append(f"a signature cannot be read: {type(error).__name__}")
    if not reasons:
        raise VerificationFailed(f"{target.repository}@{target.digest} has no signature")
    told = "; ".join(dict.fromkeys(reasons[:TOLD]))
    more = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    raise VerificationFailed(f"no signature of {target.repository}@{target.digest} can be trusted: {told}{more}")


def quoted(text: object) -> str:
    """A text by strangers, fit for a message: short and in one line."""
    return repr(str(text)[:LONGEST])
