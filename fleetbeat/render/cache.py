"""Renders on disk, found by what they were made from.

A render is known by its *question* (spec parts, path, engine version) and its *closure* (all that the build saw of the
artifact). An artifact that shows the same closure gets the same render, whatever else in it has changed. Below the
cache's directory, `<question>/` holds the newest few renders of that question, a file each:

    a line of JSON (closure, digest of the artifact it was last valid for) and then the render's own JSON

Owns the files; any number of processes may share the directory. Holds the form before decryption and substitution only,
because these put secrets into it. The worst that a lost or damaged file costs is a build.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

log = logging.getLogger(__name__)

MAX_PER_QUESTION = 8
"""Renders kept for one question; more than one is of use when several sources share a layout."""


class _Head(msgspec.Struct):
    closure: dict[str, str]
    artifact: str


_head_decoder = msgspec.json.Decoder(_Head)


@dataclass(frozen=True)
class Entry:
    """A render in the cache."""

    file: Path
    closure: dict[str, str]
    artifact: str
    """Digest of an artifact that the render is valid for without another look."""
    body: bytes

    @property
    def key(self) -> str:
        """Names the render among those of its question."""
        return self.file.stem


def question(**parts: Any) -> str:
    """The name of a question: a hash of all that decides a build besides the artifact."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


class RenderCache:
    """Renders by question and closure, in a directory of at most `max_bytes`."""

    def __init__(self, directory: Path, *, max_bytes: int = 512 * 1024 * 1024) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._until_trim = 0

    def entries(self, name: str) -> list[Entry]:
        """The renders of a question, the one used last first."""
        found = [(_used(file), file) for file in self._folder(name).glob("*.json")]
        return [entry for _, file in sorted(found, reverse=True) if (entry := _read(file)) is not None]

    def closure(self, name: str, key: str) -> dict[str, str] | None:
        """What the render with this key saw; None when it is not kept (any more)."""
        try:
            with (self._folder(name) / f"{key}.json").open("rb") as file:
                closure = _head_decoder.decode(file.readline()).closure
            os.utime(self._folder(name) / f"{key}.json")
        except (OSError, msgspec.DecodeError):
            return None
        return closure

    def put(self, name: str, closure: dict[str, str], artifact: str, body: bytes) -> str:
        """Keep a render, replacing an equal one, and return its key.

        A disk that fails costs later builds, not this run.
        """
        folder = self._folder(name)
        key = hashlib.sha256(orjson.dumps(closure, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / f"{key}.json", closure, artifact, body)
            for stale in sorted(folder.glob("*.json"), key=_used, reverse=True)[MAX_PER_QUESTION:]:
                stale.unlink(missing_ok=True)
            self._trim(len(body))
        except OSError as failure:
            log.warning("a render is not cached: %s", failure)
        return key

    def touch(self, entry: Entry, artifact: str) -> None:
        """Note that a render was used for an artifact."""
        try:
            if entry.artifact == artifact:
                os.utime(entry.file)
            else:
                _write(entry.file, entry.closure, artifact, entry.body)
        except OSError as failure:
            log.debug("a cached render is gone already: %s", failure)

    def _folder(self, name: str) -> Path:
        return self.directory / name[:2] / name

    def _trim(self, written: int) -> None:
        """Once a sixteenth of the cache is new, remove what was not used for longest."""
        self._until_trim -= written
        if self._until_trim > 0:
            return
        self._until_trim = self.max_bytes // 16
        files = sorted(((_used(file), _size(file), file) for file in self.directory.glob("*/*/*")), reverse=True)
        total = 0
        for _, size, file in files:
            total += size
            if total > self.max_bytes - self._until_trim:
                file.unlink(missing_ok=True)


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _read(file: Path) -> Entry | None:
    try:
        line, _, body = file.read_bytes().partition(b"\n")
        head = _head_decoder.decode(line)
    except (OSError, msgspec.DecodeError):
        return None
    return Entry(file, head.closure, head.artifact, body)


def _write(file: Path, closure: dict[str, str], artifact: str, body: bytes) -> None:
    """Whole or not at all, for readers in other processes."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as partial:
        partial.write(msgspec.json.encode(_Head(closure, artifact)) + b"\n" + body)
    Path(partial.name).replace(file)
