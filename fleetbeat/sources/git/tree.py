"""From a commit's tree to the entries of an archive, straight from the object store: nothing is ever checked out.

Owns what a tree may look like (a hostile one fails here, by name) and what becomes of each kind of entry: files and
directories are taken unless an ignore rule excludes them, symlinks and submodules are dropped.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from dulwich.errors import ObjectFormatException
from dulwich.objects import parse_tree

from fleetbeat.artifacts.archive import Entry
from fleetbeat.errors import ArchiveInvalid, GitOperationFailed
from fleetbeat.sources import ignore
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.objects import Objects

_TREE, _BLOB = 2, 3
_IGNORE_FILE_BYTES = 1024 * 1024
_PATTERNS = 5000


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of the whole tree; a directory's path ends in `/`."""

    path: str
    mode: int
    id: bytes
    """40 hex digits."""


class Tree:
    """A commit's tree, read under limits."""

    def __init__(self, objects: Objects, root: bytes, limits: GitLimits, deadline: Deadline) -> None:
        self._objects = objects
        self._root = root
        self._limits = limits.archive
        self._deadline = deadline

    def entries(self, directories: tuple[str, ...], custom: str | None) -> Iterator[Entry]:
        """What belongs into the archive, sorted by path; `custom` is spec.ignore, `directories` restricts."""
        nodes = self._nodes()
        if directories:
            nodes = _restricted(nodes, directories)
        rules = self._rules(nodes, custom)
        skipped = ""
        for node in nodes:
            self._deadline.left()
            if skipped and node.path.startswith(skipped):
                continue
            skipped = ""
            excluded = rules.excludes(node.path)
            if not excluded:
                yield self._entry(node)
            elif stat.S_ISDIR(node.mode) and rules.only_excludes:
                skipped = node.path

    def _entry(self, node: Node) -> Entry:
        if stat.S_ISDIR(node.mode):
            return Entry(node.path.rstrip("/"))
        return Entry(node.path, partial(self._blob, node), bool(node.mode & 0o111))

    def _blob(self, node: Node) -> bytes:
        self._deadline.left()
        kind, data = self._objects.read(node.id)
        if kind != _BLOB:
            raise ArchiveInvalid(f"{node.path}: the tree calls it a file, but it is none")
        return data

    def _rules(self, nodes: list[Node], custom: str | None) -> ignore.Rules:
        """`.sourceignore` of each directory that the ones above do not exclude, then spec.ignore."""
        patterns: list[ignore.Pattern] = []
        for node in nodes:
            domain, slash, name = node.path.rpartition("/")
            if name != ignore.FILE_NAME or ignore.Rules(patterns).excludes(domain + slash):
                continue
            data = self._blob(node)
            if len(data) > _IGNORE_FILE_BYTES:
                raise ArchiveInvalid(f"{node.path} is larger than {_IGNORE_FILE_BYTES} bytes")
            patterns += ignore.parse(data.decode("utf-8", "surrogateescape"), domain + slash)
            if len(patterns) > _PATTERNS:
                raise ArchiveInvalid(f"{node.path}: the repository has more than {_PATTERNS} patterns to ignore files")
        return ignore.rules([*patterns, *ignore.parse(custom or "")])

    def _nodes(self) -> list[Node]:
        found: list[Node] = []
        self._visit(self._root, "", 0, found)
        return found

    def _visit(self, tree: bytes, prefix: str, depth: int, found: list[Node]) -> None:
        if depth > self._limits.depth or len(prefix) > self._limits.path_bytes:
            raise ArchiveInvalid(f"the directory {prefix[:80]!r}… nests deeper than {self._limits.depth}")
        for name, mode, child in self._children(tree, prefix):
            path = prefix + name
            if stat.S_ISDIR(mode):
                found.append(Node(f"{path}/", mode, child))
                self._visit(child, f"{path}/", depth + 1, found)
            elif stat.S_ISREG(mode):
                found.append(Node(path, mode, child))
            if len(found) > self._limits.entries:
                raise ArchiveInvalid(f"the repository has more than {self._limits.entries} files and directories")

    def _children(self, tree: bytes, prefix: str) -> list[tuple[str, int, bytes]]:
        self._deadline.left()
        kind, data = self._objects.read(tree)
        if kind != _TREE:
            raise ArchiveInvalid(f"{prefix or 'the commit'}: the repository calls it a directory, but it is none")
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
    inside: Callable[[str], bool] = lambda path: any(  # noqa: E731
        path.startswith(f"{directory}/") or (path.endswith("/") and f"{directory}/".startswith(path))
        for directory in directories
    )
    return [node for node in nodes if inside(node.path)]
