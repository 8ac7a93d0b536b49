"""Content of other sources, put into the tree of a commit.

Owns where each file of an included archive goes, and that nothing is replaced on the way: directories are merged, two
files at one path are an error. It reads verified archives from this machine's disk and knows no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetbeat.artifacts.archive import Limits
from fleetbeat.artifacts.unpack import unpacked
from fleetbeat.errors import ArchiveInvalid, IncludeNotCopied
from fleetbeat.sources.git.plan import Include
from fleetbeat.sources.git.tree import Node


@dataclass(frozen=True)
class Included:
    """The artifact of an included source."""

    digest: str
    fetch: Callable[[], Path]
    """Brings it to this machine's disk; the file has that digest."""


@contextmanager
def combined(
    nodes: Sequence[Node], includes: Sequence[tuple[Include, Included]], folder: Path, limits: Limits
) -> Iterator[list[Node]]:
    """The nodes of the commit and those of all included archives, in the order of an archive, until the block ends.

    Raises IncludeNotCopied, naming source and path.
    """
    found = {node.path: node for node in nodes}
    with ExitStack() as stack:
        for include, included in includes:
            added = stack.enter_context(_nodes(include, included.fetch(), folder, limits))
            _add(found, added, include)
            if len(found) > limits.entries:
                raise ArchiveInvalid(f"with spec.include there are more than {limits.entries} files and directories")
        yield sorted(found.values(), key=lambda node: node.path.rstrip("/").split("/"))


@contextmanager
def _nodes(include: Include, file: Path, folder: Path, limits: Limits) -> Iterator[list[Node]]:
    """What an include brings, with its final paths."""
    with unpacked(file, folder, limits) as entries:
        yield [
            Node(path if entry.read else f"{path}/", entry.read, entry.executable)
            for entry in entries
            if (path := _moved(entry.path, include)) is not None
        ]


def _moved(path: str, include: Include) -> str | None:
    """Where a path of the included archive goes; None when it stays behind."""
    if not include.source:
        inner = path
    elif path == include.source:
        inner = ""
    elif path.startswith(f"{include.source}/"):
        inner = path[len(include.source) + 1 :]
    else:
        return None
    return "/".join(part for part in (include.target, inner) if part) or None


def _add(found: dict[str, Node], added: Iterable[Node], include: Include) -> None:
    added = list(added)
    if include.source and not added:
        raise IncludeNotCopied(
            f"spec.include: GitRepository {include.repository!r} has no {include.source!r} (fromPath) in its artifact"
        )
    for node in added:
        path = node.path.rstrip("/")
        directory = node.read is None
        taken = found.get(path) or (None if directory else found.get(f"{path}/"))
        blocked = next((above for above in _parents(path) if above in found), None)
        if taken is not None or blocked is not None:
            raise IncludeNotCopied(
                f"spec.include: {(blocked or path)!r} is there already: {include.repository!r} cannot be copied to it;"
                " use another toPath, or exclude one of the two by spec.ignore of its GitRepository"
            )
        for above in _parents(path):
            found.setdefault(f"{above}/", Node(f"{above}/"))
        found[node.path] = node


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
