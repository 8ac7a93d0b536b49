"""From a commit's tree to the entries of an archive, straight from the object store: nothing is ever checked out.

Owns what a tree may look like (a hostile one fails here, by name) and what becomes of each kind of entry: files and
directories are taken unless an ignore rule excludes them, symlinks are dropped, submodules are dropped or, where the
run has a way to open them, walked like directories. What is dropped is noted. Content of other sources is put in
before the ignore rules are read, as if it were part of the commit.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dulwich.errors import ObjectFormatException
from dulwich.objects import S_ISGITLINK, parse_tree

from fleetbeat.artifacts.archive import Entry
from fleetbeat.errors import ArchiveInvalid, GitOperationFailed
from fleetbeat.sources import ignore
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.notes import Notes
from fleetbeat.sources.git.submodules import FILE_NAME, Repository, Submodules

_TREE, _BLOB = 2, 3
_IGNORE_FILE_BYTES = 1024 * 1024
_PATTERNS = 5000


@dataclass(frozen=True, slots=True)
class Node:
    """One file of the whole tree or, without `read`, one directory, whose path ends in `/`."""

    path: str
    read: Callable[[], bytes] | None = None
    executable: bool = False
    id: bytes = b""
    """The blob's, where it is one."""


class Tree:
    """A commit's tree, read under limits."""

    def __init__(
        self,
        root: Repository,
        limits: GitLimits,
        deadline: Deadline,
        *,
        submodules: Submodules | None = None,
        directories: tuple[str, ...] = (),
    ) -> None:
        """`directories` are the only ones to take; without `submodules` these are dropped."""
        self._limits = limits.archive
        self._deadline = deadline
        self._submodules = submodules
        self._directories = directories
        self.notes = Notes()
        root.modules_file = partial(self._modules_file, root)
        self._root = root

    def nodes(self) -> list[Node]:
        """Everything in the tree, or in the directories that were named, in the order of an archive."""
        found: list[Node] = []
        self._visit(self._root, self._root.tree, "", 0, found)
        return _restricted(found, self._directories) if self._directories else found

    def entries(self, nodes: Sequence[Node], custom: str | None) -> Iterator[Entry]:
        """What of `nodes` belongs into the archive; `custom` is spec.ignore."""
        rules = self._rules(nodes, custom)
        skipped = ""
        for node in nodes:
            self._deadline.left()
            if skipped and node.path.startswith(skipped):
                continue
            skipped = ""
            if not rules.excludes(node.path):
                yield self._entry(node)
            elif node.read is None and rules.only_excludes:
                skipped = node.path

    def _entry(self, node: Node) -> Entry:
        if node.read is None:
            return Entry(node.path.rstrip("/"))
        return Entry(node.path, partial(self._content, node.path, node.read), node.executable, node.id)

    def _content(self, path: str, read: Callable[[], bytes]) -> bytes:
        data = read()
        self.notes.look(path, data)
        return data

    def _blob(self, repository: Repository, path: str, id: bytes) -> bytes:
        self._deadline.left()
        kind, data = repository.mirror.objects.read(id)
        if kind != _BLOB:
            raise ArchiveInvalid(f"{path!r}: the tree calls it a file, but it is none")
        return data

    def _rules(self, nodes: Iterable[Node], custom: str | None) -> ignore.Rules:
        """`.sourceignore` of each directory that the ones above do not exclude, then spec.ignore."""
        patterns: list[ignore.Pattern] = []
        for node in nodes:
            domain, slash, name = node.path.rpartition("/")
            if node.read is None or name != ignore.FILE_NAME or ignore.Rules(patterns).excludes(domain + slash):
                continue
            data = node.read()
            if len(data) > _IGNORE_FILE_BYTES:
                raise ArchiveInvalid(f"{node.path!r} is larger than {_IGNORE_FILE_BYTES} bytes")
            patterns += ignore.parse(data.decode("utf-8", "surrogateescape"), domain + slash)
            if len(patterns) > _PATTERNS:
                raise ArchiveInvalid(
                    f"{node.path!r}: the repository has more than {_PATTERNS} patterns to ignore files"
                )
        return ignore.rules([*patterns, *ignore.parse(custom or "")])

    def _visit(self, repository: Repository, tree: bytes, prefix: str, depth: int, found: list[Node]) -> None:
        if depth > self._limits.depth or len(prefix) > self._limits.path_bytes:
            raise ArchiveInvalid(f"the directory {prefix[:80]!r}… nests deeper than {self._limits.depth}")
        for name, mode, child in self._children(repository, tree, prefix):
            path = prefix + name
            if stat.S_ISDIR(mode):
                found.append(Node(f"{path}/"))
                self._visit(repository, child, f"{path}/", depth + 1, found)
            elif stat.S_ISREG(mode):
                found.append(Node(path, partial(self._blob, repository, path, child), bool(mode & 0o111), child))
            elif S_ISGITLINK(mode):
                self._enter(repository, path, child, depth, found)
            else:
                self.notes.links.add(path)
            if len(found) > self._limits.entries:
                raise ArchiveInvalid(f"the repository has more than {self._limits.entries} files and directories")

    def _enter(self, repository: Repository, path: str, commit: bytes, depth: int, found: list[Node]) -> None:
        """A submodule; those outside of the wanted directories are not even looked at."""
        if self._directories and not _wanted(f"{path}/", self._directories):
            return
        if self._submodules is None:
            self.notes.modules.add(path)
            return
        inner = self._submodules.open(repository, path.removeprefix(repository.path), commit.decode())
        inner.modules_file = partial(self._modules_file, inner)
        found.append(Node(f"{path}/"))
        self._visit(inner, inner.tree, inner.path, depth + 1, found)

    def _modules_file(self, repository: Repository) -> bytes | None:
        for name, mode, child in self._children(repository, repository.tree, repository.path):
            if name == FILE_NAME and stat.S_ISREG(mode):
                return self._blob(repository, repository.path + name, child)
        return None

    def _children(self, repository: Repository, tree: bytes, prefix: str) -> list[tuple[str, int, bytes]]:
        self._deadline.left()
        kind, data = repository.mirror.objects.read(tree)
        if kind != _TREE:
            raise ArchiveInvalid(f"{prefix or 'the commit'!r}: the repository calls it a directory, but it is none")
        try:
            parsed = list(parse_tree(data, 20))
        except (ObjectFormatException, ValueError) as error:
            raise ArchiveInvalid(f"the directory {prefix!r} of the repository is malformed") from error
        names = [_checked(name, prefix) for name, _, _ in parsed]
        if len(set(names)) != len(names):
            raise ArchiveInvalid(f"the directory {prefix!r} of the repository has two entries of one name")
        return sorted((name, mode, child) for name, (_, mode, child) in zip(names, parsed, strict=True))


def _checked(raw: bytes, prefix: str) -> str:
    """A name that stays where it is: not empty, `.`, `..`, `.git` in any case, nor with a slash or a NUL in it."""
    name = raw.decode("utf-8", "surrogateescape")
    if name in ("", ".", "..") or "/" in name or "\0" in name or name.lower() == ".git":
        raise ArchiveInvalid(f"the repository has an entry with the unsafe name {name!r} in the directory {prefix!r}")
    return name


def _restricted(nodes: list[Node], directories: tuple[str, ...]) -> list[Node]:
    """Only what is in `directories`, with the directories above them."""
    there = {node.path for node in nodes}
    for directory in directories:
        if f"{directory}/" not in there:
            raise GitOperationFailed(f"spec.sparseCheckout: the repository has no directory {directory!r}")
    return [node for node in nodes if _wanted(node.path, directories)]


def _wanted(path: str, directories: tuple[str, ...]) -> bool:
    """Whether a path is in one of the directories, or a directory above one."""
    return any(
        path.startswith(f"{directory}/") or (path.endswith("/") and f"{directory}/".startswith(path))
        for directory in directories
    )
