"""The OCIRepository pipeline: from a tag of a registry to an artifact that everybody can read.

An unchanged tag costs one HEAD, which sweeps share (ocisweep.py); and what one run of this worker was just told of a
reference serves the others that were woken before (sources/oci/looks.py). What is verified and what is pulled is named
by the digest that the look found, so that a tag which moves in between changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from fleetbeat.api.source import OCIRepositorySpec
from fleetbeat.errors import FleetbeatError, InvalidSpec, OCILayerFailed, OCIPullFailed
from fleetbeat.reconcile.ociaccess import access_of
from fleetbeat.reconcile.ocifacts import facts_of, same_facts
from fleetbeat.reconcile.ocisignatures import SignatureCheck, mark_verified
from fleetbeat.reconcile.outcome import Outcome, Status
from fleetbeat.reconcile.politeness import wait_turn
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.sourcework import (
    ORIGIN,
    VERIFIED,
    Fetched,
    SourceWork,
    fail,
    finalise,
    keep,
    publish,
    read_spec,
    store_artifact,
)
from fleetbeat.sources import lastlook
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.layer import pull, read_manifest
from fleetbeat.sources.oci.looks import Look, opened
from fleetbeat.sources.oci.manifest import Manifest
from fleetbeat.sources.oci.pick import Picked, pick
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.state import Shares


@dataclass
class OciWork(SourceWork[OCIRepositorySpec]):
    """What the steps of this pipeline leave for each other."""

    shares: ClassVar[Shares] = Shares.ALL
    latest: ClassVar[str] = "latest.tar.gz"

    registry: Registry | None = None
    """The repository, with the account of the spec; set by connect."""
    picked: Picked | None = None
    """What it has; set by look."""
    check: SignatureCheck | None = None
    """Of its signatures; set by verify_signature where the spec wants one."""

    def facts(self) -> dict[str, Any]:
        """What the artifact was made of."""
        return facts_of(self.spec)

    @property
    def host(self) -> str:
        """The registry, by the name that answers."""
        return Repository.parse(self.spec.url).endpoint

    def mark(self, status: Status) -> None:
        """SourceVerified."""
        mark_verified(self, status, self.check)

    def blame(self, error: FleetbeatError) -> str:
        """A layer that cannot become an artifact is told as Flux does, and a check that cannot be made has failed."""
        if isinstance(error, InvalidSpec) and self.check is not None and not self.check.passed:
            return VERIFIED
        return "StorageOperationFailed" if isinstance(error, OCILayerFailed) else super().blame(error)


def connect(work: OciWork) -> Outcome | None:
    """The account and the certificates that the spec names, read from the hub for this run only."""
    repository = Repository.parse(work.spec.url)
    deadline = Deadline.after(work.timeout, OCIPullFailed)
    access = access_of(work.ctx, work.ref.namespace, work.spec, repository, deadline)
    work.registry = Registry(repository, access, deadline)
    return None


def look(work: OciWork) -> Outcome | None:
    """Ask the registry what the tag is now, politely, unless another run did since this one was woken."""
    registry = _registry(work)
    with _last_look(work) as last:
        work.picked = last.picked
        if work.picked is None:
            put_off = wait_turn(work)
            if put_off is not None:
                return put_off
            work.picked = pick(registry, work.spec.ref)
            last.keep(work.picked)
    return None


def _last_look(work: OciWork) -> AbstractContextManager[Look]:
    """Of whoever follows the same reference of the same repository with an equal account and equal trust.

    Times of another Redis server cannot be compared, so another epoch begins with looks of its own.
    """
    registry = _registry(work)
    name = lastlook.name_of(work.epoch, registry.repository, registry.access.fingerprint, work.spec.ref)
    return opened(work.ctx.directory("oci") / "looks", name, work.asked, work.handed, registry.deadline)


def _manifest(work: OciWork) -> Manifest:
    """Of what was picked, read once for all that share a look."""
    picked = _picked(work)
    with _last_look(work) as last:
        found = last.manifest if last.picked == picked else None
        if found is None:
            found = read_manifest(_registry(work), picked.descriptor.digest)
            if last.picked in (None, picked):
                last.keep(picked, found)
    return found


def verify_signature(work: OciWork) -> Outcome | None:
    """Nothing is pulled that is not signed as `spec.verify` wants it."""
    if work.spec.verify is not None:
        work.check = SignatureCheck(work, work.spec.verify)
        picked = _picked(work)
        work.check.of(_registry(work), picked.descriptor, picked.revision)
    return None


def pull_layer(work: OciWork) -> Outcome | None:
    """What is stored already stays; a new digest, or other settings, make a new artifact."""
    registry, picked, spec = _registry(work), _picked(work), work.spec
    message = f"stored artifact for digest '{picked.revision}'"  # Flux's words
    if _unchanged(work, picked):
        work.fetched = Fetched(picked.revision, message=message)
        return None
    manifest = _manifest(work)
    archive = pull(registry, manifest, spec.layer_selector, spec.ignore, work.ctx.directory("oci"))
    note = _note(picked.revision, spec.url, manifest.annotations)
    filename = f"{picked.descriptor.digest}.tar.gz"
    work.fetched = Fetched(picked.revision, filename, archive, note, manifest.annotations, message=message)
    return None


def _unchanged(work: OciWork, picked: Picked) -> bool:
    """Whether the stored artifact is of that digest and was made with these settings."""
    standing = work.standing()
    if standing is None or standing["revision"] != picked.revision:
        return False
    return same_facts(work.old, work.facts())


def _note(revision: str, url: str, annotations: Mapping[str, str]) -> str:
    """What the event says of a new artifact, with where its content comes from if the manifest tells."""
    text = f"stored artifact with revision '{revision}' from '{url}'"
    origin, commit = (annotations.get(name, "")[:500] for name in ORIGIN)
    return f"{text}, origin source '{origin}', origin revision '{commit}'" if origin and commit else text


def _registry(work: OciWork) -> Registry:
    if work.registry is None:
        raise AssertionError("connect runs first")
    return work.registry


def _picked(work: OciWork) -> Picked:
    if work.picked is None:
        raise AssertionError("look runs first")
    return work.picked


PIPELINE = Pipeline(
    work=OciWork,
    steps=(
        *(finalise, read_spec, connect, look, verify_signature, pull_layer),
        *(keep, store_artifact, publish),
    ),
    on_error=fail,
)
"""What a run of an OCIRepository does."""
