"""The GitRepository pipeline: from a ref of a Git server to an artifact that everybody can read.

An unchanged ref costs one round trip to the server, which sweeps share (sourcesweep.py), and so do runs that were woken
before it began (sources/lastlook.py).

Signatures (`spec.verify`) are checked by each source for itself, and again whenever anything differs that the last
check depended on: commit, tag object, mode, the content of the Secret with the keys, the validity of a PGP key. The
memo holds a digest of all that, and the condition SourceVerified must still be true; without either the check is done
again. So a removed key makes the next run fail, and the change of the Secret starts that run. Sweeps leave such sources
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from fleetbeat.api.conditions import get_condition, remove_condition
from fleetbeat.api.meta import LINKS_KEY
from fleetbeat.api.source import GitRepositorySpec, GitRepositoryStatus
from fleetbeat.errors import (
    AuthenticationFailed,
    FleetbeatError,
    IncludeNotCopied,
    IncludeUnavailable,
    VerificationFailed,
)
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.gitaccount import Login, account_of
from fleetbeat.reconcile.gitinclude import PAUSE, Copied, resolve
from fleetbeat.reconcile.outcome import Outcome, Status
from fleetbeat.reconcile.politeness import wait_turn
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.sourcework import (
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
from fleetbeat.sources.credentials import ANONYMOUS, Account, HttpCredentials
from fleetbeat.sources.git import Deadline, GitResult, Keyring, Observed, fetch, refs
from fleetbeat.sources.git.plan import Follow, Plan
from fleetbeat.sources.git.remote import Remote
from fleetbeat.state import Shares

LOOK_LASTS = 10_000
"""Milliseconds for which a look serves others; what it found may be overwritten and gone by then."""


@dataclass
class GitWork(SourceWork[GitRepositorySpec]):
    """What the steps of this pipeline leave for each other."""

    shares: ClassVar[Shares] = Shares.ALL

    failures: ClassVar[tuple[str, ...]] = (*SourceWork.failures, "IncludeUnavailable", "ArtifactOutdated")

    credentials: Account = ANONYMOUS
    keyring: Keyring | None = None
    copied: list[Copied] = field(default_factory=list)
    """What spec.include brings, in its order."""
    found: GitResult | None = None

    def facts(self) -> dict[str, Any]:
        """What the artifact was made of."""
        spec = self.spec
        return {
            "observedIgnore": spec.ignore,
            "observedSparseCheckout": list(spec.sparse_checkout) or None,
            "observedRecurseSubmodules": spec.recurse_submodules or None,
            "observedInclude": msgspec.to_builtins(spec.include) or None,
            "includedArtifacts": [one.artifact for one in self.copied] or None,
            "sourceVerificationMode": Plan.of(spec).mode or None,
        }

    def mark(self, status: Status) -> None:
        """SourceVerified: of this check, or of the earlier one that still holds."""
        conditions = status["conditions"]
        told = get_condition(conditions, VERIFIED)
        if self.spec.verify is None:
            remove_condition(conditions, VERIFIED)
        elif self.found is not None:
            message = self.found.verified or (told or {}).get("message", "")
            self.attempt.condition(status, VERIFIED, "True", "Succeeded", message)

    def blame(self, error: FleetbeatError) -> str:
        """An included source that is not there, or does not fit, is told apart from the source's own server."""
        if isinstance(error, IncludeNotCopied):
            return "StorageOperationFailed"
        return "IncludeUnavailable" if isinstance(error, IncludeUnavailable) else super().blame(error)

    @property
    def proof(self) -> str:
        """Of the last check of signatures, as far as its outcome still stands in the status."""
        told = get_condition(self.old.get("conditions") or [], VERIFIED)
        return self.remembered.verified if told is not None and told.get("status") == "True" else ""


def read_credentials(work: GitWork) -> Outcome | None:
    """The Secrets of the spec, read from the hub for this run only."""
    default = work.ctx.settings.default_source_service_account
    login = Login.of(work.ref.namespace, work.spec, Plan.of(work.spec).url, default)
    work.credentials = account_of(work.ctx.targets.reader, login, Deadline.after(work.timeout))
    return None


def read_keys(work: GitWork) -> Outcome | None:
    """The public keys of `spec.verify`, read from the hub for this run only."""
    verify = work.spec.verify
    if verify is None:
        return None
    secret = f"{work.ref.namespace}/{verify.secret_ref.name}"
    try:
        data = work.ctx.targets.reader.secret(work.ref.namespace, verify.secret_ref.name)
    except NotFound as error:
        raise VerificationFailed(f"spec.verify.secretRef: Secret {secret} not found") from error
    work.keyring = Keyring.of(data, secret)
    return None


def find_includes(work: GitWork) -> Outcome | None:
    """The artifacts that `spec.include` names, as they are published now."""
    if work.spec.include:
        work.copied = resolve(work.ctx, work.ref, work.spec)
    return None


def fetch_commit(work: GitWork) -> Outcome | None:
    """Ask the server; the tree of a new commit becomes an archive straight from the object store."""
    deadline = Deadline.after(work.timeout)
    try:
        with _told_of_an_empty_password(work):
            found = fetch(
                work.spec,
                work.credentials,
                _observed(work),
                work.ctx.directory("git"),
                deadline,
                cache_bytes=work.ctx.caches.git_bytes,
                keyring=work.keyring,
                included=[one.included for one in work.copied],
                ask=lambda server, prefixes: _look(work, server, prefixes, deadline),
            )
    except _PutOff as put_off:
        return put_off.outcome
    work.found = found
    work.remember(verified=found.proof)
    note = f"stored artifact for commit '{found.subject}'"
    links = {LINKS_KEY: "\n".join(found.links)} if found.links else {}
    work.fetched = Fetched(found.revision, found.filename, found.archive, note, links)
    for text in found.warnings:
        work.event("GitLFSNotSupported", text, warning=True)
    for text in found.left_out:
        work.event("EntriesLeftOut", text, trace=True)
    return None


class _PutOff(Exception):
    """The server is to be asked later."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.summary)
        self.outcome = outcome


def _look(work: GitWork, server: Remote, prefixes: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
    """What the server says now, or said since this run was woken to another one with an equal account.

    A push that wakes many sources of one repository so costs one look. Times of another Redis server cannot be
    compared, so another epoch begins with looks of its own.
    """
    account = (work.credentials or ANONYMOUS).fingerprint
    name = lastlook.name_of(work.epoch, server.url, account, tuple(prefixes))
    folder = work.ctx.directory("git-looks")
    with lastlook.opened(folder, name, work.asked, work.handed, LOOK_LASTS, deadline) as last:
        if last.found is None:
            put_off = wait_turn(work)
            if put_off is not None:
                raise _PutOff(put_off)
            last.keep(refs.packed(server.refs(prefixes)))
        assert last.found is not None  # noqa: S101 - kept just now
        return refs.unpacked(last.found)


def take_turn(work: GitWork) -> Outcome | None:
    """A fixed commit is asked for in its turn; for all others the look takes it, which may be somebody else's."""
    return wait_turn(work) if Plan.of(work.spec).target.follow is Follow.COMMIT else None


@contextmanager
def _told_of_an_empty_password(work: GitWork) -> Iterator[None]:
    """A user name alone is a login, because some servers take a token in its place; where it is refused, it is said."""
    try:
        yield
    except AuthenticationFailed as error:
        account, secret = work.credentials, work.spec.secret_ref
        if secret is None or not isinstance(account, HttpCredentials) or not account.username or account.password:
            raise
        lacks = f"Secret {work.ref.namespace}/{secret.name} lacks the key password"
        raise AuthenticationFailed(f"{error.message}; {lacks}", retry_after=error.retry_after) from error


def fail_git(work: GitWork, error: FleetbeatError) -> Outcome:
    """As every source fails; besides, a check that failed holds for nothing, and an outdated artifact is called so."""
    if isinstance(error, VerificationFailed):
        work.remember(verified="")
    if isinstance(error, IncludeUnavailable) and error.retry_after is None:
        error.retry_after = PAUSE
    outcome = fail(work, error)
    outdated = _outdated(work)
    if outdated and outcome.status is not None:
        work.attempt.condition(outcome.status, "ArtifactOutdated", "True", *outdated)
    return outcome


def _outdated(work: GitWork) -> tuple[str, str] | None:
    """Reason and message, where it is known that the stored artifact is not what it should be."""
    previous = work.previous
    if previous is None:
        return None
    if work.fetched is not None and work.fetched.revision != previous.get("revision"):
        return "NewRevision", f"new upstream revision '{work.fetched.revision}'"
    before = [artifact.get("digest") for artifact in work.old.get("includedArtifacts") or []]
    if work.copied and before != [one.artifact["digest"] for one in work.copied]:
        return "IncludeChange", "included artifacts differ from those of the stored artifact"
    return None


def _observed(work: GitWork) -> Observed | None:
    """What the stored artifact was made of; None when it must be made again."""
    if not work.standing():
        return None
    return Observed.of(msgspec.convert(work.old, GitRepositoryStatus), work.proof)


PIPELINE = Pipeline(
    work=GitWork,
    steps=(
        finalise,
        read_spec,
        take_turn,
        read_credentials,
        read_keys,
        find_includes,
        fetch_commit,
        keep,
        store_artifact,
        publish,
    ),
    on_error=fail_git,
)
"""What a run of a GitRepository does."""
