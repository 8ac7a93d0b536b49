"""What of a commit did not become what its author may expect. Owns the words; whoever walks a tree adds to them."""

from __future__ import annotations

from dataclasses import dataclass, field

LFS = b"version https://git-lfs.github.com/spec/v1\n"
LFS_BYTES = 1024
"""No pointer is larger."""
_NAMED = 3
_LISTED = 50


@dataclass
class Names:
    """Paths, of which the first are named."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, path: str) -> None:
        self.count += 1
        if len(self.first) < _LISTED:
            self.first.append("".join(character if character.isprintable() else "?" for character in path[:200]))

    def __str__(self) -> str:
        named = self.first[:_NAMED]
        more = self.count - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


@dataclass
class Notes:
    """Collected while an archive is made."""

    pointers: Names = field(default_factory=Names)
    links: Names = field(default_factory=Names)
    modules: Names = field(default_factory=Names)

    def look(self, path: str, data: bytes) -> None:
        """Whether that file's content is a Git LFS pointer."""
        if len(data) <= LFS_BYTES and data.startswith(LFS):
            self.pointers.add(path)

    def warnings(self) -> tuple[str, ...]:
        """What consumers will stumble over."""
        if not self.pointers.count:
            return ()
        return (
            f"Git LFS is not supported: consumers get the pointer instead of the content of {self.pointers};"
            " keep these files in Git itself, or exclude them by spec.ignore",
        )

    def left_out(self) -> tuple[str, ...]:
        """What is not in the archive although it is in the commit."""
        links = f"symbolic links are left out: {self.links}; a build finds no file there"
        modules = f"submodules are left out: {self.modules}; set spec.recurseSubmodules to fetch them"
        return tuple(text for text, names in ((links, self.links), (modules, self.modules)) if names.count)
