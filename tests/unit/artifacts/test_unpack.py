"""Reading archives back: what went in comes out, and damage is told."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from fleetbeat.artifacts.archive import Entry, Limits, write_archive
from fleetbeat.artifacts.unpack import unpacked
from fleetbeat.errors import ArchiveInvalid

pytestmark = pytest.mark.unit


def packed(folder: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """A tar.gz of (name, type, content), however absurd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
    file = folder / "a.tar.gz"
    file.write_bytes(out.getvalue())
    return file


def test_our_own_archives(tmp_path: Path) -> None:
    """Files, directories, modes and long names; writing the entries again gives the same bytes."""
    long = "/".join(["directory" * 5] * 4) + "/file"
    entries = [Entry("d"), Entry("d/x.sh", lambda: b"x", True), Entry("empty", bytes), Entry(long, lambda: b"long")]
    first = write_archive(entries, io.BytesIO())
    (tmp_path / "a").write_bytes(first.file.read())
    with unpacked(tmp_path / "a", tmp_path) as found:
        again = write_archive(found, io.BytesIO())
    assert again.digest == first.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    """Neither can lead a reader out of the archive."""
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    file = packed(
        tmp_path,
        ("./", tarfile.DIRTYPE, b""),
        ("./f", tarfile.REGTYPE, b"1"),
        *((f"l{kind!r}", kind, b"") for kind in kinds),
    )
    with unpacked(file, tmp_path) as found:
        assert [entry.path for entry in found] == ["f"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//b"])
def test_unsafe_paths(tmp_path: Path, name: str) -> None:
    """They are refused by name."""
    with pytest.raises(ArchiveInvalid, match="unsafe path"), unpacked(packed(tmp_path, (name, b"0", b"")), tmp_path):
        pass


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(entries=1), "more than 1 files"),
        (Limits(total_bytes=100, entries=2), "unfolds to more than 100 bytes"),
        (Limits(file_bytes=10), "more than the 10 allowed"),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, message: str) -> None:
    """Nothing is unfolded or read beyond what is allowed."""
    file = packed(tmp_path, ("a", b"0", bytes(20_000)), ("b", b"0", b""))
    with pytest.raises(ArchiveInvalid, match=message), unpacked(file, tmp_path, limits) as found:
        for entry in found:
            assert entry.read is not None
            entry.read()


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", gzip.compress(b"nonsense", mtime=0), gzip.compress(bytes(2000), mtime=0)[:-5]]
)
def test_damage(tmp_path: Path, data: bytes) -> None:
    """An archive that is not one is an error, not an empty archive."""
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ArchiveInvalid, match="damaged"), unpacked(tmp_path / "a", tmp_path):
        pass
