"""The archive format: bytes that depend on the content alone, and limits that hold."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile

import pytest

from fleetbeat.artifacts import Archive, Entry, Limits, write_archive
from fleetbeat.errors import ArchiveInvalid

pytestmark = pytest.mark.unit

LONG = "deep/" * 30 + "file.yaml"


def entry(path: str, data: bytes = b"x: 1\n", *, executable: bool = False) -> Entry:
    return Entry(path, lambda: data, executable)


def archive(*entries: Entry, limits: Limits | None = None) -> Archive:
    return write_archive(entries, io.BytesIO(), limits)


def members(made: Archive) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=made.file, mode="r:gz") as tar:
        return tar.getmembers()


def sample() -> list[Entry]:
    return [Entry("app"), entry("app/run.sh", b"#!/bin/sh\n", executable=True), entry("app/x.yaml"), entry(LONG, b"")]


def test_members_carry_nothing_but_name_mode_and_content() -> None:
    """Modes are 0600, 0700 and 0750; owner, group and time are zero."""
    found = members(archive(*sample()))
    assert [(one.name, one.mode, one.isdir()) for one in found] == [
        ("app", 0o750, True),
        ("app/run.sh", 0o700, False),
        ("app/x.yaml", 0o600, False),
        (LONG, 0o600, False),
    ]
    assert {(one.uid, one.gid, one.mtime, one.uname, one.gname) for one in found} == {(0, 0, 0, "", "")}


def test_digest_and_size_are_those_of_the_bytes() -> None:
    """What is reported is what a consumer will compute."""
    made = archive(*sample())
    data = made.file.read()
    assert made.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (made.size, made.entries) == (len(data), 4)


def test_the_tar_inside_is_fixed_for_ever() -> None:
    """A new version of Python or of Fleetbeat must not change the bytes of an old commit's archive."""
    content = gzip.decompress(archive(*sample()).file.read())
    assert hashlib.sha256(content).hexdigest() == "47a3da5e9e7407bd300f3a034bbefdb0e7d6f6a7758cd2069bc3ae6bd15b456b"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 300_000])
def test_headers_are_those_of_tarfile(size: int) -> None:
    """The fast path writes exactly what the standard library would."""
    made = gzip.decompress(archive(entry("some/päth.yaml", b"a" * size)).file.read())
    info = tarfile.TarInfo("some/päth.yaml")
    info.size, info.mode = size, 0o600
    assert made[:512] == info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    assert len(made) == 512 + -(-size // 512) * 512 + 1024


def test_other_processes_make_the_same_bytes() -> None:
    """Neither hash seed, time zone, locale nor umask shows in an archive."""
    program = (
        "import io, os; os.umask(0o077)\n"
        "from fleetbeat.artifacts import Entry, write_archive\n"
        "entries = [Entry(f'f{i}', lambda i=i: b'kind: X%d\\n' % i * 50) for i in range(2000)]\n"
        "print(write_archive(entries, io.BytesIO()).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(digests) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "", "a\0b"])
def test_unsafe_paths_are_refused(path: str) -> None:
    """No entry can leave the directory that a consumer unpacks into."""
    with pytest.raises(ArchiveInvalid, match="not safe"):
        archive(entry(path))


def test_bytes_that_are_not_utf8_survive() -> None:
    """Git allows any bytes in a name."""
    name = b"caf\xe9.yaml".decode("utf-8", "surrogateescape")
    assert members(archive(entry(name)))[0].name == name


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(entries=1), "more than 1 files"),
        (Limits(file_bytes=4), "b.yaml has 5 bytes|a.yaml has 5 bytes"),
        (Limits(total_bytes=9), "add up to more than 9 bytes"),
        (Limits(path_bytes=5), "longer than 5 bytes"),
    ],
)
def test_limits_hold(limits: Limits, message: str) -> None:
    """An archive that is too large fails and names the limit."""
    with pytest.raises(ArchiveInvalid, match=message):
        archive(entry("a.yaml"), entry("b.yaml"), limits=limits)


def test_a_path_occurs_once() -> None:
    """Two entries of one name would leave the content to the consumer's taste."""
    with pytest.raises(ArchiveInvalid, match=r"'a.yaml' occurs twice"):
        archive(entry("a.yaml"), entry("a.yaml"))
