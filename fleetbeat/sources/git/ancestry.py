"""Whether a commit lies on the branch that is said to have it.

Owns that question only. It is asked before anything is made of the commit, so that whoever trusts a branch (because it
is protected, say) never gets a commit of another one. The answer costs the commits that the branch has on top, without
their files where the server can leave those out.
"""

from __future__ import annotations

from dulwich.objects import Commit, ShaFile

from fleetbeat.errors import GitOperationFailed
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.mirror import Mirror
from fleetbeat.sources.git.objects import Objects
from fleetbeat.sources.git.pack import add_pack
from fleetbeat.sources.git.remote import Remote


def require_on_branch(
    server: Remote, branch: str, commit: str, mirror: Mirror, limits: GitLimits, deadline: Deadline
) -> None:
    """GitOperationFailed, naming both, unless `commit` is the tip of `branch` or one of its ancestors.

    `mirror` is that of the repository; it keeps nothing of the answer.
    """
    name = f"refs/heads/{branch}"
    tip = server.refs([name]).get(name)
    if tip is None:
        raise GitOperationFailed(f"{server.url}: the repository has no branch {branch!r}")
    if tip != commit and not _descends(server, tip, commit, mirror, limits, deadline):
        raise GitOperationFailed(
            f"{server.url}: the commit {commit} (spec.ref.commit) is not on the branch {branch!r} (spec.ref.branch);"
            " correct one of them, or leave out the branch"
        )


def _descends(server: Remote, tip: str, commit: str, mirror: Mirror, limits: GitLimits, deadline: Deadline) -> bool:
    """All commits between the two are descendants of `commit`, so they are among those that its own history lacks."""
    with mirror.scratch() as folder:
        file = folder / "new.pack"
        with file.open("wb") as out:
            server.fetch_history(tip, commit, out)
        add_pack(file, limits, deadline)
        newer = Objects(folder)
        try:
            return _is_met(newer, tip.encode(), commit.encode(), deadline)
        finally:
            newer.close()


def _is_met(newer: Objects, tip: bytes, commit: bytes, deadline: Deadline) -> bool:
    """Whether a walk from `tip`, as far as `newer` goes, comes to `commit`."""
    seen, left = {tip}, [tip]
    while left:
        deadline.left()
        id = left.pop()
        if id == commit:
            return True
        if id in newer:
            found = ShaFile.from_raw_string(*newer.read(id))
            parents = set(found.parents) - seen if isinstance(found, Commit) else set()
            seen |= parents
            left += parents
    return False
