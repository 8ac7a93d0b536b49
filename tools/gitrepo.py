"""Bare repositories of the bench, written in process: commits, branches and tags without a work tree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.refs import Ref
from dulwich.repo import Repo

Content = str | bytes | None

_AUTHOR = b"Bench <bench@example.com>"
_FILE = 0o100644


class GitRepo:
    """One bare repository; `url` is where the server offers it."""

    def __init__(self, path: Path, url: str) -> None:
        """Opens the repository at `path`, or makes it with `main` as its default branch."""
        self.path = path
        self.url = url
        if not path.exists():
            path.mkdir(parents=True)
            with Repo.init_bare(str(path), default_branch=b"main") as repo:
                config = repo.get_config()
                for section, name in (("http", "receivepack"), ("uploadpack", "allowFilter")):
                    config.set(section, name, True)
                config.set("uploadpack", "allowAnySHA1InWant", True)
                config.write_to_path()

    def commit(
        self,
        files: Mapping[str, Content],
        message: str = "change",
        branch: str = "main",
        *,
        modes: Mapping[str, int] | None = None,
    ) -> str:
        """Write and (None) delete files on top of a branch, which is made when absent; returns the commit's SHA.

        `modes` gives other file modes by path: 0o100755, or 0o120000 for a symlink, whose content is its target.
        """
        ref = Ref(f"refs/heads/{branch}".encode())
        with Repo(str(self.path)) as repo:
            parent = repo.refs.read_ref(ref)
            tree = self._tree(repo, parent)
            for path, content in files.items():
                if content is None:
                    del tree[path.encode()]
                else:
                    blob = Blob.from_string(content.encode() if isinstance(content, str) else content)
                    repo.object_store.add_object(blob)
                    tree[path.encode()] = (blob.id, (modes or {}).get(path, _FILE))
            commit = Commit()
            commit.tree = commit_tree(repo.object_store, [(path, sha, mode) for path, (sha, mode) in tree.items()])
            commit.parents = [ObjectID(parent)] if parent else []
            commit.author = commit.committer = _AUTHOR
            commit.author_time = commit.commit_time = int(time.time())
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = message.encode()
            repo.object_store.add_object(commit)
            repo.refs[ref] = commit.id
        return commit.id.decode()

    def tag(self, name: str, commit: str | None = None, *, message: str | None = None) -> str:
        """Tag a commit (default: the head of main), annotated when there is a `message`; returns what the tag names."""
        target = ObjectID((commit or self.head()).encode())
        with Repo(str(self.path)) as repo:
            if message is not None:
                tag = Tag()
                tag.name, tag.message, tag.tagger = name.encode(), message.encode(), _AUTHOR
                tag.object = (Commit, target)
                tag.tag_time, tag.tag_timezone = int(time.time()), 0
                repo.object_store.add_object(tag)
                target = tag.id
            repo.refs[Ref(f"refs/tags/{name}".encode())] = target
        return target.decode()

    def point(self, ref: str, commit: str | None) -> None:
        """Move any full ref name (`refs/heads/x`) to a commit, as a forced push does; None deletes it."""
        with Repo(str(self.path)) as repo:
            if commit is None:
                del repo.refs[Ref(ref.encode())]
            else:
                repo.refs[Ref(ref.encode())] = ObjectID(commit.encode())

    def head(self, branch: str = "main") -> str:
        """SHA of the branch's last commit."""
        with Repo(str(self.path)) as repo:
            return repo.refs[Ref(f"refs/heads/{branch}".encode())].decode()

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """Contents of all files at the branch's head, by path."""
        with Repo(str(self.path)) as repo:
            tree = self._tree(repo, self.head(branch).encode())
            blobs = {path.decode(): repo[sha] for path, (sha, _) in tree.items()}
            return {path: blob.as_raw_string() for path, blob in blobs.items()}

    @staticmethod
    def _tree(repo: Repo, commit: bytes | None) -> dict[bytes, tuple[ObjectID, int]]:
        if commit is None:
            return {}
        found = repo[ObjectID(commit)]
        assert isinstance(found, Commit)
        entries = iter_tree_contents(repo.object_store, found.tree)
        return {entry.path: (entry.sha, entry.mode) for entry in entries if entry.path and entry.sha and entry.mode}
