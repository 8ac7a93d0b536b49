"""A directory of this machine as the entries of an archive, under the rules that sources have about files to leave out.

For the command line, which archives what its user has; a worker has no use for it. Symlinks are dropped, as everywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fleetbeat.artifacts.archive import Entry
from fleetbeat.errors import ArchiveInvalid
from fleetbeat.sources import ignore


def entries(root: Path, custom: str = "", *, modes: bool = False) -> Iterator[Entry]:
    """What belongs into an archive of `root`, sorted by path; `custom` are patterns such as spec.ignore takes.

    With `modes` files and directories keep their permission bits, else they get those of every source's artifact.
    A file makes an archive of that one file. Raises ArchiveInvalid when `root` is neither.
    """
    if root.is_file():
        yield _entry(root.name, root, modes)
        return
    if not root.is_dir():
        raise ArchiveInvalid(f"{root} is neither a directory nor a file")
    found = sorted(_walk(root, ""))
    rules = ignore.rules([*_patterns(root, found), *ignore.parse(custom)])
    for path in found:
        if not rules.excludes(path.rstrip("/"), directory=path.endswith("/")):
            yield _entry(path, root / path, modes)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Relative paths of files, and of directories with a slash at their end."""
    for item in os.scandir(folder):
        if item.is_symlink():
            continue
        if item.is_dir():
            yield f"{prefix}{item.name}/"
            yield from _walk(Path(item.path), f"{prefix}{item.name}/")
        elif item.is_file():
            yield f"{prefix}{item.name}"


def _patterns(root: Path, found: list[str]) -> list[ignore.Pattern]:
    """The `.sourceignore` of every directory that the ones above do not exclude."""
    patterns: list[ignore.Pattern] = []
    for path in found:
        domain, slash, name = path.rpartition("/")
        if name == ignore.FILE_NAME and not ignore.Rules(patterns).excludes(domain, directory=bool(slash)):
            patterns += ignore.parse((root / path).read_text("utf-8", "surrogateescape"), domain + slash)
    return patterns


def _entry(path: str, file: Path, modes: bool) -> Entry:
    mode = stat.S_IMODE(file.stat().st_mode) & 0o777 if modes else 0
    if path.endswith("/"):
        return Entry(path.rstrip("/"), mode=mode)
    return Entry(path, file.read_bytes, os.access(file, os.X_OK), mode=mode)
