"""Archives made of chunks: who copies some of them from earlier archives has the bytes of who makes all anew."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest

from fleetbeat.artifacts import Archive, Entry, Limits, write_archive
from fleetbeat.artifacts.chunks import Chunk, combined_crc
from fleetbeat.errors import ArchiveInvalid

pytestmark = pytest.mark.unit

Tree = dict[str, bytes]


class Memory:
    """Chunks of the archives made so far."""

    def __init__(self) -> None:
        self.chunks: dict[str, tuple[Chunk, BinaryIO]] = {}
        self.reads = 0

    def find(self, key: str) -> tuple[Chunk, BinaryIO] | None:
        return self.chunks.get(key)

    def made(self, chunk: Chunk) -> Chunk:
        return chunk

    def archive(self, tree: Tree, limits: Limits | None = None) -> bytes:
        """Of that tree, with what is known; what is new is known afterwards."""
        made = write_archive(self.entries(tree), io.BytesIO(), limits, self)
        self.chunks |= {chunk.key: (chunk, made.file) for chunk in made.chunks}
        return bytes_of(made)

    def entries(self, tree: Tree) -> list[Entry]:
        """Files with ids, and their directories."""

        def read(data: bytes) -> bytes:
            self.reads += 1
            return data

        found = {path.rpartition("/")[0]: Entry(path.rpartition("/")[0]) for path in tree if "/" in path}
        found |= {
            path: Entry(path, lambda data=data: read(data), path.endswith("x"), hashlib.sha1(data).digest())
            for path, data in tree.items()
        }
        return [found[path] for path in sorted(found)]


def bytes_of(made: Archive) -> bytes:
    data = made.file.read()
    assert (made.size, made.digest) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    return data


def big(count: int = 600) -> Tree:
    return {f"d{n % 7}/f{n:04}.yaml": f"number: {n}\n".encode() * (n % 40) for n in range(count)}


def mutated(tree: Tree, chance: random.Random) -> Tree:
    """A commit later: some files changed, gone, new or with another mode."""
    other = dict(tree)
    for path in chance.sample(sorted(other), 5):
        data = other.pop(path)
        match chance.randrange(4):
            case 0:
                other[path] = data + b"more\n"
            case 1:
                other[f"{path}x"] = data
            case 2:
                other[f"new/{chance.randrange(1000)}.yaml"] = chance.randbytes(chance.randrange(3000))
    return other


@pytest.mark.parametrize("seed", range(8))
def test_the_past_of_a_worker_does_not_show(seed: int) -> None:
    """Through ten commits, one that knows all before, one that knows half, and one that knows nothing agree."""
    chance, tree = random.Random(seed), big()
    old, half = Memory(), Memory()
    for _ in range(10):
        expected = Memory().archive(tree)
        assert old.archive(tree) == half.archive(tree) == expected
        half.chunks = {key: found for key, found in half.chunks.items() if chance.random() < 0.5}
        tree = mutated(tree, chance)


def test_without_ids_the_bytes_are_the_same() -> None:
    """Ids say what may be copied, and nothing else."""
    tree = big()
    plain = [Entry(one.path, one.read, one.executable) for one in Memory().entries(tree)]
    assert bytes_of(write_archive(plain, io.BytesIO())) == Memory().archive(tree)


def test_only_what_is_near_a_change_is_read() -> None:
    """Of six hundred files some dozens."""
    memory, tree = Memory(), big()
    memory.archive(tree)
    assert memory.reads == 600
    memory.archive(tree | {"d3/f0003.yaml": b"changed"})
    assert memory.reads < 600 + 300


def test_every_reader_finds_one_ordinary_archive(tmp_path: Path) -> None:
    """Copied and made chunks in one file: gzip, tar, Python and a reader of a single deflate stream."""
    memory, tree = Memory(), big()
    memory.archive(tree)
    tree["d3/f0003.yaml"] = b"changed"
    data = memory.archive(tree)
    file = tmp_path / "a.tar.gz"
    file.write_bytes(data)
    subprocess.run(["gzip", "--test", str(file)], check=True)
    subprocess.run(["tar", "-xzf", str(file), "-C", str(tmp_path)], check=True)
    assert all((tmp_path / path).read_bytes() == content for path, content in tree.items())
    inflate = zlib.decompressobj(wbits=31)
    plain = inflate.decompress(data)
    assert (inflate.eof, inflate.unused_data) == (True, b"")
    assert plain == gzip.decompress(data)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert {one.name: tar.extractfile(one).read() for one in tar if one.isfile()} == tree  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["id", "mode", "path", "limits"])
def test_another_content_mode_path_or_limit_is_another_chunk(change: str) -> None:
    """Nothing of it is copied."""
    memory = Memory()
    one = {"a": b"1"}
    memory.archive(one)
    other = {"id": {"a": b"2"}, "mode": {"ax": b"1"}, "path": {"b": b"1"}, "limits": one}[change]
    limits = Limits(file_bytes=10) if change == "limits" else None
    assert memory.archive(other, limits) == Memory().archive(other, limits)
    assert memory.reads == 2


def test_copied_files_count_towards_the_limit() -> None:
    """An archive that is too large stays so, also where all of it is known."""
    memory, tree = Memory(), {f"f{n:03}": bytes(100) for n in range(300)}
    limits = Limits(total_bytes=30_000)
    memory.archive(tree, limits)
    with pytest.raises(ArchiveInvalid, match="add up"):
        memory.archive(tree | {"g": b"1"}, limits)


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1, 1), (3, 70_000), (70_000, 3), (100_000, 1_000_001)])
def test_check_sums_of_parts_make_that_of_the_whole(sizes: tuple[int, int]) -> None:
    """As zlib computes it over both."""
    first, second = (random.Random(size).randbytes(size) for size in sizes)
    assert combined_crc(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)
