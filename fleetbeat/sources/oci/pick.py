"""Which manifest of a repository a spec follows. Owns the order of the fields of `spec.ref` and the choice of a tag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleetbeat.api.source import OCIRef
from fleetbeat.errors import InvalidSpec, OCIPullFailed
from fleetbeat.sources.oci.manifest import Descriptor
from fleetbeat.sources.oci.reference import is_digest, is_tag
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.sources.patterns import compile_pattern
from fleetbeat.sources.semver import Range, parse_version, precedence

DEFAULT_TAG = "latest"


@dataclass(frozen=True)
class Picked:
    """What the registry has for a spec at this moment."""

    descriptor: Descriptor
    """Of the manifest."""
    tag: str = ""
    """The tag that was followed; empty for a fixed digest."""

    @property
    def revision(self) -> str:
        """As `status.artifact.revision` shows it: `latest@sha256:…`, or the digest alone."""
        return f"{self.tag}@{self.descriptor.digest}" if self.tag else self.descriptor.digest


def pick(registry: Registry, ref: OCIRef | None) -> Picked:
    """Ask the registry: one HEAD for a digest or tag, the list of tags before it for a range of versions.

    Raises InvalidSpec when `spec.ref` makes no sense, OCIPullFailed when the registry has nothing that fits.
    """
    ref = ref or OCIRef()
    if ref.digest:
        if not is_digest(ref.digest):
            raise InvalidSpec(f"spec.ref.digest {ref.digest[:100]!r} is neither sha256:<64 hex> nor sha512:<128 hex>")
        return Picked(registry.resolve(ref.digest))
    tag = _newest(registry, ref.semver, ref.semver_filter) if ref.semver else _tag(ref.tag or DEFAULT_TAG)
    return Picked(registry.resolve(tag), tag)


def _tag(text: str) -> str:
    """Tags cannot hold the `+` of a version, so that an underscore stands for it."""
    tag = text.replace("+", "_")
    if not is_tag(tag):
        raise InvalidSpec(f"spec.ref.tag {text[:140]!r} is not a tag: letters, digits, `_`, `.` and `-`, at most 128")
    return tag


def _newest(registry: Registry, semver: str, pattern: str | None) -> str:
    wanted = Range(semver, "spec.ref.semver")
    accepted = compile_pattern(pattern, "spec.ref.semverFilter").matches if pattern else lambda _: True
    tag = newest(filter(accepted, registry.tags()), wanted)
    if tag is None:
        also = f" and spec.ref.semverFilter {pattern!r}" if pattern else ""
        raise OCIPullFailed(f"{registry.repository}: no tag matches spec.ref.semver {semver!r}{also}")
    return tag


def newest(tags: Iterable[str], wanted: Range) -> str | None:
    """The tag of the highest version in the range; of equal ones the last by name, so that all runs agree."""
    best = max(
        (
            (precedence(version), tag)
            for tag in tags
            if (version := parse_version(tag.replace("_", "+"))) is not None and version in wanted
        ),
        default=None,
    )
    return best[1] if best else None
