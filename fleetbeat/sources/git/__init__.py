"""GitRepository: from a spec to a revision and, where it moved, to an archive of its tree.

`fetch` is the whole of it. A poll that finds nothing new costs one or two small requests (none for a fixed commit), an
update the objects that changed. It stores nothing but the worker's own mirror: publishing is the pipeline's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fleetbeat.api.source import GitRepositorySpec
from fleetbeat.errors import EmptyRepository, GitOperationFailed
from fleetbeat.sources.credentials import ANONYMOUS, Account
from fleetbeat.sources.git import refs
from fleetbeat.sources.git.build import Job, proof_of
from fleetbeat.sources.git.includes import Included
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.mirror import open_mirror
from fleetbeat.sources.git.plan import Follow, Observed, Plan
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.remote import Remote, connect
from fleetbeat.sources.git.result import GitResult
from fleetbeat.sources.git.verify import Keyring

Ask = Callable[[Remote, Sequence[str]], Mapping[str, str]]
"""The references that begin with one of the prefixes."""

__all__ = ["Ask", "Deadline", "GitLimits", "GitResult", "Included", "Keyring", "Observed", "fetch"]


def fetch(
    spec: GitRepositorySpec,
    credentials: Account | None,
    observed: Observed | None,
    cache: Path,
    deadline: Deadline,
    limits: GitLimits | None = None,
    cache_bytes: int = 8 * 1024**3,
    *,
    keyring: Keyring | None = None,
    included: Sequence[Included] = (),
    ask: Ask = Remote.refs,
) -> GitResult:
    """Resolve what `spec` follows, check its signatures and, unless it is what `observed` says, archive its tree.

    `observed` is what the stored artifact was made of, or None if there is none (or its object is gone). `cache` is the
    worker's cache folder. `keyring` has the keys of spec.verify, `included` the artifacts of spec.include in its order.
    Raises InvalidURL, InvalidSpec, InvalidVerificationMode, AuthenticationFailed, EmptyRepository, GitOperationFailed,
    VerificationFailed, IncludeNotCopied or ArchiveInvalid; no message holds a credential.

    `ask` may know from another look what the server would say to that account now.

    The mirror is one account's own: equal URL, login, authorities, client certificate and proxy. Nothing leaves it
    before the server let that account in, during this very call or the look that `ask` knows of, a fixed commit
    included. Only where nothing is handed out, because the artifact of a fixed commit stands, is nobody asked.
    """
    plan, limits = Plan.of(spec, [one.digest for one in included]), limits or GitLimits()
    account = credentials or ANONYMOUS
    with connect(plan.url, account, deadline, limits) as server:
        candidates = _candidates(plan, server, ask)
        if len(candidates) == 1 and observed is not None and observed.equals(plan, candidates[0].revision):
            proof = proof_of(plan, candidates[0], keyring)
            if proof == (observed.proof if plan.mode else ""):
                return GitResult(candidates[0].revision, candidates[0].commit, proof=proof)
        if plan.target.follow is Follow.COMMIT:
            server.refs(["HEAD"])  # the account still gets in, or nothing of the mirror is for it
        with open_mirror(cache, plan.url, account.fingerprint, limits, deadline, cache_bytes) as mirror:
            job = Job(plan, account, server, mirror, cache, cache_bytes, deadline, limits, keyring, included)
            return job.run(candidates, observed)


def _candidates(plan: Plan, server: Remote, ask: Ask) -> list[Candidate]:
    if plan.target.follow is Follow.COMMIT:
        return [refs.of_commit(plan.target)]
    found = ask(server, refs.prefixes(plan.target))
    try:
        return refs.choose(plan.target, found)
    except GitOperationFailed as error:
        if not found and not server.refs(["refs/"]):
            raise EmptyRepository(f"{plan.url}: the repository has no commit yet") from None
        raise GitOperationFailed(f"{plan.url}: {error.message}") from None
