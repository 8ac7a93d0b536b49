"""A chart in memory: read from a package or from the files of a directory, checked, and packed again.

Owns what makes files a chart (Chart.yaml with apiVersion, name and version) and the limits that a hostile one meets.
Packing is deterministic: equal files give equal bytes. A package is never unpacked to disk.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from gzip import BadGzipFile, GzipFile
from io import BytesIO
from typing import Any, BinaryIO, cast

import msgspec

from fleetbeat.artifacts.archive import Archive, Entry, Limits, write_archive
from fleetbeat.errors import ChartFailed, ChartPackageFailed
from fleetbeat.sources.helm import text
from fleetbeat.sources.helm.limits import LIMITS
from fleetbeat.sources.helm.versions import lenient

CHART_FILE, LOCK_FILE, VALUES_FILE = "Chart.yaml", "Chart.lock", "values.yaml"
OLD_DEPENDENCIES, OLD_LOCK = "requirements.yaml", "requirements.lock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")
_BLOCK = tarfile.BLOCKSIZE

Files = Mapping[str, bytes]
"""Path below the chart's directory → content."""


class Dependency(msgspec.Struct, frozen=True):
    """Another chart that a chart needs."""

    name: str = ""
    version: str | None = None
    repository: str | None = None
    alias: str | None = None

    @property
    def range(self) -> str:
        """The versions that will do."""
        return self.version or "*"


class _Dependencies(msgspec.Struct, frozen=True):
    dependencies: tuple[Dependency, ...] | None = None


@dataclass(frozen=True)
class Chart:
    """One chart with everything below it."""

    name: str
    version: str
    metadata: dict[str, Any]
    """Chart.yaml, with all scalars but true, false and null as text."""
    files: Files

    @classmethod
    def of(cls, files: Files, where: str) -> Chart:
        """Check the files of a chart; `where` is for messages. Raises ChartPackageFailed."""
        if CHART_FILE not in files:
            raise ChartPackageFailed(f"{where} is no chart: it has no {CHART_FILE}")
        metadata = _document(files, CHART_FILE, where)
        name, version = metadata.get("name"), metadata.get("version")
        for field in ("apiVersion", "name", "version"):
            if not isinstance(metadata.get(field), str):
                raise ChartPackageFailed(f"{where}: {CHART_FILE} has no {field}")
        name, version = str(name), str(version)
        if not _NAME.fullmatch(name):
            raise ChartPackageFailed(f"{where}: {CHART_FILE}: {name[:80]!r} is not a name for a chart")
        if lenient(version) is None:
            raise ChartPackageFailed(f"{where}: {CHART_FILE}: {version[:80]!r} is not a semantic version")
        return cls(name, version, metadata, files)

    @property
    def vendored(self) -> set[str]:
        """Names of the charts that lie in its charts/, as far as their paths and packages tell."""
        return {name for directory, name in _subcharts(self.files) if directory}

    def dependencies(self) -> tuple[Dependency, ...]:
        """What it declares; raises ChartPackageFailed where that is malformed."""
        if self.metadata.get("apiVersion") == "v1" and OLD_DEPENDENCIES in self.files:
            return self._listed(OLD_DEPENDENCIES)
        return self._listed(CHART_FILE)

    def lock(self) -> tuple[Dependency, ...] | None:
        """The versions that were settled on; None without a lock."""
        file = OLD_LOCK if self.metadata.get("apiVersion") == "v1" and OLD_LOCK in self.files else LOCK_FILE
        return self._listed(file) if file in self.files else None

    def _listed(self, file: str) -> tuple[Dependency, ...]:
        document = _document(self.files, file, f"chart {self.name}")
        try:
            found = msgspec.convert(document, _Dependencies).dependencies or ()
        except msgspec.ValidationError as error:
            raise ChartPackageFailed(f"chart {self.name}: {file}: dependencies: {error}") from None
        if len(found) > LIMITS.dependencies:
            raise ChartPackageFailed(f"chart {self.name}: {file}: more than {LIMITS.dependencies} dependencies")
        return found

    def at_version(self, version: str) -> Chart:
        """The same chart under another version; unchanged where it has that one already."""
        if version == self.version:
            return self
        metadata = self.metadata | {"version": version}
        return replace(self, version=version, metadata=metadata).with_files({CHART_FILE: text.write(metadata)})

    def with_files(self, files: Files) -> Chart:
        """The same chart with further or other files."""
        return replace(self, files={**self.files, **files})

    def pack(self, out: BinaryIO) -> Archive:
        """Write it as a package to the empty `out`; raises ArchiveInvalid where it breaks a limit."""
        paths = sorted(self.files, key=lambda path: (path != CHART_FILE, path))
        entries = (Entry(f"{self.name}/{path}", partial(self.files.__getitem__, path)) for path in paths)
        limits = Limits(entries=LIMITS.files, file_bytes=LIMITS.file_bytes, total_bytes=LIMITS.total_bytes)
        return write_archive(entries, out, limits)


def read_package(file: BinaryIO, where: str, blame: type[ChartFailed] = ChartPackageFailed) -> Chart:
    """The chart in a .tgz, read in memory within limits; raises `blame`, or ChartPackageFailed from `Chart.of`."""
    try:
        return Chart.of(dict(_unpacked(file, where, blame)), where)
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise blame(f"{where} is no packaged chart (.tgz): {str(error)[:200]}") from None


def _unpacked(file: BinaryIO, where: str, blame: type[ChartFailed]) -> Iterator[tuple[str, bytes]]:
    plain = _Capped(GzipFile(fileobj=file), where, blame)
    seen: set[str] = set()
    with tarfile.open(fileobj=cast("BinaryIO", plain), mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            if member.isdir():
                continue
            path = _inner(member, where, blame)
            if path in seen or len(seen) >= LIMITS.files:
                raise blame(f"{where}: {path!r} occurs twice, or there are more than {LIMITS.files} files")
            seen.add(path)
            content = tar.extractfile(member)
            yield path, content.read() if content is not None else b""


def _inner(member: tarfile.TarInfo, where: str, blame: type[ChartFailed]) -> str:
    """The path below the chart's directory of a file that may be read."""
    name = member.name.removeprefix("./")
    parts = name.split("/")
    if not member.isreg():
        raise blame(f"{where}: {name[:200]!r} is a link or device; a chart has plain files only")
    if "\\" in name or "\0" in name or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise blame(f"{where}: the path {name[:200]!r} is not inside of the chart's directory")
    if member.size > LIMITS.file_bytes:
        raise blame(f"{where}: {name[:200]} has more than the {LIMITS.file_bytes >> 20} MiB allowed for one file")
    return "/".join(parts[1:])


class _Capped:
    """Reads what unfolds from a package, up to the limit."""

    def __init__(self, inner: GzipFile, where: str, blame: type[ChartFailed]) -> None:
        self._inner = inner
        self._left = LIMITS.total_bytes + 3 * _BLOCK * LIMITS.files
        self._where = where
        self._blame = blame

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; raises when the package unfolds to more than a chart may have."""
        data = self._inner.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise self._blame(f"{self._where} unfolds to more than the {LIMITS.total_bytes >> 20} MiB allowed")
        return data


def _document(files: Files, file: str, where: str) -> dict[str, Any]:
    try:
        found = text.read(files[file].removeprefix(b"\xef\xbb\xbf"))
    except text.Unreadable as error:
        raise ChartPackageFailed(f"{where}: {file}: {error}") from None
    if not isinstance(found, dict):
        raise ChartPackageFailed(f"{where}: {file} is not a mapping")
    return found


def _subcharts(files: Files) -> Iterator[tuple[str, str]]:
    """(path, name) of what lies directly below charts/: directories with a Chart.yaml, and packages."""
    for path, content in files.items():
        parts = path.split("/")
        if len(parts) < 2 or parts[0] != "charts" or parts[1][0] in "_.":
            continue
        if len(parts) == 3 and parts[2] == CHART_FILE:
            yield path, str(_document(files, path, "charts/").get("name") or parts[1])
        elif len(parts) == 2 and path.endswith(".tgz"):
            yield path, read_package(BytesIO(content), path).name


msgspec.json.Decoder(_Dependencies)  # described now, while one thread is at work (see api/decode.py)
