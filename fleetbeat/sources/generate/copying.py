"""Copy rules: what goes from the sources' trees into an artifact, with the manners of `cp`.

A name is copied as `cp -r` would: a file to the place or into the directory that `to` names, a directory as a
subdirectory. What a pattern finds is put below `to` under its whole path, except that `dir/**` leaves `dir` away.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fleetbeat.api.source_extensions import CopyOperation
from fleetbeat.artifacts.archive import Entry, Limits
from fleetbeat.artifacts.unpack import unpacked
from fleetbeat.errors import ArchiveInvalid, BuildFailed, ValuesFilesFailed
from fleetbeat.sources.generate.globs import is_glob, matches, matches_deep
from fleetbeat.sources.generate.tree import ROOT, Tree, clean, join, name_of
from fleetbeat.sources.helm.values import merge_values

MAX_EXTRACTED = 256
"""Archives that one artifact may extract; each keeps a file open until the artifact is written."""
MAX_MERGED = 4 * 1024 * 1024
"""Bytes of a YAML file that takes part in a merge."""
_ARCHIVE = (".tar.gz", ".tgz")
_FROM = re.compile(r"@([^/]+)/(.*)", re.DOTALL)


@dataclass
class Copying:
    """One artifact that is being put together; `open` holds what its entries are read from."""

    sources: Mapping[str, Tree]
    """By alias."""
    scratch: Path
    """For the files of extracted archives, which have no names."""
    open: ExitStack
    limits: Limits = field(default_factory=Limits)
    tree: Tree = field(default_factory=Tree)
    _extracted: int = 0

    def apply(self, operation: CopyOperation) -> None:
        """Carry one rule out; raises BuildFailed or InvalidSpec."""
        try:
            self._apply(operation)
        except (ArchiveInvalid, ValuesFilesFailed, BuildFailed) as error:
            raise BuildFailed(f"copy from {operation.from_!r} to {operation.to!r}: {error.message}") from error

    def _apply(self, operation: CopyOperation) -> None:
        alias, pattern = split(operation.from_)
        source = self.sources[alias]
        to = clean(operation.to.removeprefix("@artifact/"))
        if is_glob(pattern):
            self._copy_matches(operation, source, clean(pattern), to)
        else:
            self._copy_name(operation, source, clean(pattern), to)

    def _copy_name(self, operation: CopyOperation, source: Tree, path: str, to: str) -> None:
        if path in source.folders:
            if operation.strategy == "Extract":
                raise BuildFailed(f"{path!r} is a directory; strategy Extract wants .tar.gz or .tgz files")
            self._copy_folder(operation, source, path, join(to, name_of(path)), path)
            return
        if path not in source.files:
            raise BuildFailed(f"the source has no file or directory {path!r}")
        if _excluded(operation, path, ROOT):
            return
        if operation.strategy == "Extract":
            self._extract(source.files[path], to)
        elif operation.to.endswith("/") or to in self.tree.folders:
            self._copy_file(operation, source.files[path], join(to, name_of(path)))
        else:
            self._copy_file(operation, source.files[path], to)

    def _copy_matches(self, operation: CopyOperation, source: Tree, pattern: str, to: str) -> None:
        base = _literal_part(pattern)
        fits: Callable[[str, str], bool] = matches_deep if operation.strategy == "Extract" else matches
        found = [path for path in source.paths() if fits(pattern, path)]
        if not found:
            raise BuildFailed("nothing in the source matches the pattern")
        chosen = [path for path in found if not _excluded(operation, path, base)]
        if not chosen:
            raise BuildFailed("all that matches the pattern is excluded")
        for path in chosen:
            if operation.strategy == "Extract":
                if path in source.files and path.endswith(_ARCHIVE):
                    self._extract(source.files[path], to)
            elif path in source.folders:
                self._copy_folder(operation, source, path, join(to, _placed(pattern, path)), base)
            else:
                self._copy_file(operation, source.files[path], join(to, _placed(pattern, path)))

    def _copy_folder(self, operation: CopyOperation, source: Tree, folder: str, to: str, base: str) -> None:
        self.tree.make(to)
        skipped = "\0"
        for path in source.below(folder):
            if path.startswith(skipped):
                continue
            target = join(to, path[len(folder) :].lstrip("/"))
            if _excluded(operation, path, base):
                skipped = f"{path}/" if path in source.folders else skipped
            elif path in source.folders:
                self.tree.make(target)
            else:
                self._copy_file(operation, source.files[path], target)

    def _copy_file(self, operation: CopyOperation, entry: Entry, to: str) -> None:
        before = self.tree.files.get(to)
        if operation.strategy == "Merge" and before is not None:
            merged = merge_values([(to, _small(before)), (entry.path, _small(entry))])
            entry = Entry(to, lambda: merged)
        self.tree.put(to, entry)

    def _extract(self, entry: Entry, to: str) -> None:
        if not entry.path.endswith(_ARCHIVE):
            raise BuildFailed(f"{entry.path!r} is not a .tar.gz or .tgz file, which strategy Extract wants")
        self._extracted += 1
        if self._extracted > MAX_EXTRACTED:
            raise BuildFailed(f"more than {MAX_EXTRACTED} archives to extract")
        with tempfile.NamedTemporaryFile(dir=self.scratch) as packed:
            packed.write(_content(entry))
            packed.flush()
            entries = self.open.enter_context(unpacked(Path(packed.name), self.scratch, self.limits))
        self.tree.make(to)
        for inner in entries:
            if inner.read is None:
                self.tree.make(join(to, inner.path))
            else:
                self.tree.put(join(to, inner.path), inner)


def split(source: str) -> tuple[str, str]:
    """`@alias/path` → alias and path."""
    found = _FROM.fullmatch(source)
    if found is None:
        raise BuildFailed(f"{source[:200]!r} is not of the form @alias/path")
    return found[1], found[2]


def _literal_part(pattern: str) -> str:
    """The directories before the first segment that is a pattern."""
    return "/".join(_until_glob(pattern.split("/")))


def _until_glob(steps: list[str]) -> Iterator[str]:
    for step in steps:
        if is_glob(step):
            return
        yield step


def _placed(pattern: str, path: str) -> str:
    """Where a match goes below `to`."""
    folder = pattern.removesuffix("/**")
    return path.removeprefix(f"{folder}/") if folder != pattern else path


def _excluded(operation: CopyOperation, path: str, base: str) -> bool:
    """By its whole path, by its path below the rule's own directory, or, for a plain pattern, by its name."""
    for pattern in operation.exclude:
        names = {path, path.removeprefix(f"{base}/") if base else path}
        if "/" not in pattern:
            names.add(name_of(path))
        if any(matches_deep(pattern, name) for name in names):
            return True
    return False


def _content(entry: Entry) -> bytes:
    if entry.read is None:
        raise AssertionError("directories have no content")
    return entry.read()


def _small(entry: Entry) -> bytes:
    data = _content(entry)
    if len(data) > MAX_MERGED:
        raise BuildFailed(f"{entry.path!r} is larger than the {MAX_MERGED} bytes that can be merged")
    return data
