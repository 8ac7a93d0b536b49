"""Files and directories as copy rules see them: a source's content, or an artifact that is being put together.

Nothing here is on a disk: an entry knows how its content is read. Paths are relative, `/`-separated and clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fleetbeat.artifacts.archive import Entry
from fleetbeat.errors import BuildFailed

ROOT = ""


def clean(path: str) -> str:
    """Without `.`, empty steps and slashes at the ends; raises BuildFailed when it leaves the root."""
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if ".." in steps or "\0" in path:
        raise BuildFailed(f"the path {path[:200]!r} leaves its root; name one below it")
    return "/".join(steps)


def join(*parts: str) -> str:
    """Clean paths one below the other; the root adds nothing."""
    return "/".join(part for part in parts if part != ROOT)


def name_of(path: str) -> str:
    """The last step; empty for the root."""
    return path.rpartition("/")[2]


@dataclass
class Tree:
    """Files by path, and the directories above them."""

    files: dict[str, Entry] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {ROOT})

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Tree:
        """From an archive's entries."""
        tree = cls()
        for entry in entries:
            if entry.read is None:
                tree.make(entry.path)
            else:
                tree.put(entry.path, entry)
        return tree

    def put(self, path: str, entry: Entry) -> None:
        """Write or replace a file; raises BuildFailed where a directory is."""
        if path in self.folders:
            raise BuildFailed(f"{path or 'the root'!r} is a directory of the artifact and cannot become a file")
        self.make(path.rpartition("/")[0])
        self.files[path] = Entry(path, entry.read, entry.executable)

    def make(self, folder: str) -> None:
        """A directory with all above it; raises BuildFailed where a file is."""
        while folder not in self.folders:
            if folder in self.files:
                raise BuildFailed(f"{folder!r} is a file of the artifact and cannot become a directory")
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]

    def paths(self) -> list[str]:
        """All files and directories but the root, sorted."""
        return sorted([*self.files, *(self.folders - {ROOT})])

    def below(self, folder: str) -> Iterator[str]:
        """All files and directories in one, sorted."""
        prefix = f"{folder}/" if folder else ""
        return (path for path in self.paths() if path.startswith(prefix))

    def entries(self) -> list[Entry]:
        """For an archive."""
        return [self.files.get(path) or Entry(path) for path in self.paths()]
