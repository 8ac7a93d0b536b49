"""The files of a source's artifact, to build charts from.

Owns random access to a tar.gz on disk: it is unfolded once, to a temporary file, and files are read from that. Whatever
is no plain file or directory, or leaves the artifact, is refused. Knows charts only as far as their directories go.
"""

from __future__ import annotations

import posixpath
import tarfile
import tempfile
import zlib
from contextlib import suppress
from gzip import GzipFile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from fleetbeat.errors import ArtifactFailed, ChartPackageFailed, InvalidChartReference
from fleetbeat.sources.helm.chart import CHART_FILE, Chart, read_package
from fleetbeat.sources.helm.helmignore import HelmIgnore
from fleetbeat.sources.helm.limits import LIMITS

MAX_UNFOLDED = 4 << 30
"""Bytes of an artifact's tar."""
_IGNORE_FILE = ".helmignore"


class SourceTree:
    """One artifact; a context manager."""

    def __init__(self, artifact: Path, scratch: Path | None = None) -> None:
        """`scratch`: where it is unfolded. Raises ArtifactFailed where the file is no tar.gz."""
        self._plain = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by __exit__
        try:
            _unfold(artifact, self._plain)
            self._tar = tarfile.open(fileobj=self._plain, mode="r:", errors="surrogateescape")  # noqa: SIM115
            self._members = {posixpath.normpath(member.name): member for member in self._tar if member.isreg()}
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            self._plain.close()
            raise ArtifactFailed(f"the source's artifact is no tar.gz: {error}") from error

    def __enter__(self) -> SourceTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()
        self._plain.close()

    def locate(self, path: str, field: str, above: str = "") -> str:
        """`path`, relative to the directory `above`, as a path of this artifact (`.` is its root).

        Raises InvalidChartReference naming `field` where it leaves the artifact.
        """
        found = posixpath.normpath(posixpath.join(above, path))
        if path.startswith("/") or found == ".." or found.startswith("../") or "\0" in found:
            raise InvalidChartReference(f"{field}: {path!r} leaves the artifact; write a path relative to its root")
        return found

    def read(self, path: str) -> bytes | None:
        """One file; None when there is none. Raises ChartPackageFailed when it is too large."""
        member = self._members.get(path)
        if member is None:
            return None
        if member.size > max(LIMITS.file_bytes, LIMITS.chart_bytes):
            raise ChartPackageFailed(f"{path} has {member.size} bytes, more than a file of a chart may have")
        content = self._tar.extractfile(member)
        return content.read() if content is not None else b""

    def chart(self, path: str, field: str) -> tuple[Chart, bool]:
        """The chart at a located path, and whether it is a directory (else a package).

        Raises InvalidChartReference when there is none, ChartPackageFailed when it is malformed.
        """
        if path in self._members:
            with suppress(KeyError):
                return self._package(path), False
        files = self._directory(path)
        if CHART_FILE not in files:
            what = f"has no {CHART_FILE}" if files else "does not exist"
            raise InvalidChartReference(f"{field}: {_shown(path)} {what} in the source's artifact")
        return Chart.of(files, f"chart {_shown(path)}"), True

    def _package(self, path: str) -> Chart:
        member = self._members[path]
        if member.size > LIMITS.chart_bytes:
            raise ChartPackageFailed(f"{path} has more than the {LIMITS.chart_bytes >> 20} MiB allowed for a chart")
        file = self._tar.extractfile(member)
        if file is None:
            raise KeyError(path)
        with file:
            return read_package(file, path)  # type: ignore[arg-type]

    def _directory(self, path: str) -> dict[str, bytes]:
        """The files below a directory that its .helmignore does not leave out."""
        prefix = "" if path == "." else f"{path}/"
        ignore = HelmIgnore((self.read(prefix + _IGNORE_FILE) or b"").decode("utf-8", "replace"))
        inner = (
            (name.removeprefix(prefix), member) for name, member in self._members.items() if name.startswith(prefix)
        )
        chosen = {name: member for name, member in inner if not ignore.excludes(name)}
        _check_sizes(chosen, _shown(path))
        return {name: self.read(prefix + name) or b"" for name in chosen}


def _unfold(artifact: Path, plain: BinaryIO) -> None:
    with artifact.open("rb") as file, GzipFile(fileobj=file) as unfolded:
        left = MAX_UNFOLDED
        while piece := unfolded.read(min(1 << 20, left + 1)):
            left -= len(piece)
            if left < 0:
                raise ArtifactFailed(f"the source's artifact unfolds to more than {MAX_UNFOLDED >> 30} GiB")
            plain.write(piece)
    plain.seek(0)


def _check_sizes(members: dict[str, tarfile.TarInfo], where: str) -> None:
    if len(members) > LIMITS.files:
        raise ChartPackageFailed(f"{where}: more than {LIMITS.files} files; exclude some by {_IGNORE_FILE}")
    total = 0
    for name, member in members.items():
        total += member.size
        vendored = name.startswith("charts/") and name.endswith(".tgz")
        if member.size > (LIMITS.chart_bytes if vendored else LIMITS.file_bytes) or total > LIMITS.total_bytes:
            raise ChartPackageFailed(f"{where}: {name} has {member.size} bytes, too many; exclude it by {_IGNORE_FILE}")


def _shown(path: str) -> str:
    return "the root" if path == "." else repr(path)
