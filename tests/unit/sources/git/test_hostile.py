"""Repositories and packs that mean harm: refused by name, cheaply, with the last good state intact."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleetbeat.artifacts import Limits
from fleetbeat.errors import ArchiveInvalid, FleetbeatError, GitOperationFailed
from fleetbeat.sources.git import Deadline, GitLimits
from fleetbeat.sources.git.objects import Objects
from fleetbeat.sources.git.pack import MissingBase, add_pack
from tests.support import hostile
from tests.unit.sources.git.conftest import Worker, content
from tools.gitrepo import GitRepo

pytestmark = pytest.mark.unit

FILE, DIRECTORY = b"100644", b"40000"
COMMIT, TREE, BLOB, OFS_DELTA, REF_DELTA = 1, 2, 3, 6, 7
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("name", "nested"),
    [
        *(
            (name, False)
            for name in (b"..", b".", b".git", b".GIT", b"/etc/passwd", b"a/../../b", b"a/b", b"../x", b"")
        ),
        *((name, True) for name in (b"..", b".git", b"/x")),
    ],
)
def test_names_that_lead_elsewhere(repo: GitRepo, worker: Worker, name: bytes, nested: bool) -> None:
    """A tree with such an entry is refused as a whole, whatever the ignore rules say."""
    tree = hostile.add_tree(repo, (FILE, name, hostile.add_blob(repo)))
    if nested:
        tree = hostile.add_tree(repo, (DIRECTORY, b"dir", tree))
    hostile.commit_tree(repo, tree)
    # Git's own server declines to send an empty name.
    with pytest.raises(FleetbeatError, match=r"unsafe name|repository corruption"):
        worker.fetch(repo.url, ignore="!.git\n/*")


def test_a_git_directory(repo: GitRepo, worker: Worker) -> None:
    """Content posing as Git's own folder is refused."""
    inner = hostile.add_tree(repo, (FILE, b"config", hostile.add_blob(repo)))
    hostile.commit_tree(repo, hostile.add_tree(repo, (DIRECTORY, b".git", inner)))
    with pytest.raises(ArchiveInvalid, match=r"unsafe name '\.git'"):
        worker.fetch(repo.url)


def test_two_entries_of_one_name(repo: GitRepo, worker: Worker) -> None:
    """A file and a directory of one name would unpack differently here and there."""
    blob = hostile.add_blob(repo)
    inner = hostile.add_tree(repo, (FILE, b"x", blob))
    hostile.commit_tree(repo, hostile.add_tree(repo, (FILE, b"a", blob), (DIRECTORY, b"a", inner)))
    with pytest.raises(ArchiveInvalid, match="two entries of one name"):
        worker.fetch(repo.url)


def test_a_symlink_is_no_way_through(repo: GitRepo, worker: Worker) -> None:
    """A link and a directory of one name, which would write through the link, are refused."""
    blob = hostile.add_blob(repo, b"/etc")
    inner = hostile.add_tree(repo, (FILE, b"passwd", blob))
    hostile.commit_tree(repo, hostile.add_tree(repo, (b"120000", b"a", blob), (DIRECTORY, b"a", inner)))
    with pytest.raises(ArchiveInvalid, match="two entries of one name"):
        worker.fetch(repo.url)


def test_types_that_lie(repo: GitRepo, worker: Worker) -> None:
    """A file that is a directory, and the other way round."""
    blob = hostile.add_blob(repo)
    empty = hostile.add_tree(repo)
    for entries, message in (
        ((FILE, b"a", empty), "calls it a file|repository corruption"),
        ((DIRECTORY, b"a", blob), "calls it a directory|repository corruption"),
    ):
        hostile.commit_tree(repo, hostile.add_tree(repo, entries))
        with pytest.raises(FleetbeatError, match=message):
            worker.fetch(repo.url)


def test_a_bomb_of_trees(repo: GitRepo, worker: Worker) -> None:
    """Ten levels of ten times the same directory are ten thousand million files in eleven objects."""
    tree = hostile.add_tree(repo, *((FILE, b"f%d" % number, hostile.add_blob(repo)) for number in range(10)))
    for _ in range(9):
        tree = hostile.add_tree(repo, *((DIRECTORY, b"d%d" % number, tree) for number in range(10)))
    hostile.commit_tree(repo, tree)
    begin = time.process_time()
    with pytest.raises(ArchiveInvalid, match="more than 20000 files and directories"):
        worker.fetch(repo.url, limits=GitLimits(archive=Limits(entries=20_000)))
    assert time.process_time() - begin < 20


def test_endless_depth(repo: GitRepo, worker: Worker) -> None:
    """A thousand directories in each other are refused, not followed."""
    tree = hostile.add_tree(repo, (FILE, b"f", hostile.add_blob(repo)))
    for _ in range(1000):
        tree = hostile.add_tree(repo, (DIRECTORY, b"d", tree))
    hostile.commit_tree(repo, tree)
    with pytest.raises(ArchiveInvalid, match="nests deeper than 255"):
        worker.fetch(repo.url)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (GitLimits(archive=Limits(file_bytes=1000)), "big.bin has 2000000 bytes"),
        (GitLimits(archive=Limits(total_bytes=1000)), "add up to more than 1000 bytes"),
        (GitLimits(archive=Limits(entries=3)), "more than 3 files"),
        (GitLimits(object_bytes=1000), "unfolds to 2000000 bytes for one object"),
        (GitLimits(unfolded_bytes=1_000_000), "for all objects"),
        (GitLimits(objects=3), "more than the 3 allowed"),
        (GitLimits(pack_bytes=100), "sent more than a repository may have"),
    ],
)
def test_limits_keep_the_last_good_state(repo: GitRepo, worker: Worker, limits: GitLimits, message: str) -> None:
    """Too much of anything fails by name, and an earlier revision is as available as before."""
    good = repo.commit({"a.yaml": "1"})
    worker.fetch(repo.url, limits=limits) if limits.pack_bytes > 100 else worker.fetch(repo.url)
    repo.commit({"big.bin": b"\0" * 2_000_000, "b": "2", "c/d": "3"})
    with pytest.raises(ArchiveInvalid, match=message):
        worker.fetch(repo.url, limits=limits)
    repo.point("refs/heads/main", good)
    assert content(worker.fetch(repo.url)) == {"a.yaml": b"1"}


def test_an_excluded_file_may_be_large(repo: GitRepo, worker: Worker) -> None:
    """What does not get into the archive does not count towards its size."""
    repo.commit({"big.bin": b"\0" * 2_000_000, "a": "1"})
    found = worker.fetch(repo.url, ignore="*.bin", limits=GitLimits(archive=Limits(total_bytes=1000)))
    assert content(found) == {"a": b"1"}


def test_too_many_ignore_patterns(repo: GitRepo, worker: Worker) -> None:
    """Pattern files are content too."""
    repo.commit({".sourceignore": "".join(f"a{number}\n" for number in range(6000))})
    with pytest.raises(ArchiveInvalid, match="more than 5000 patterns"):
        worker.fetch(repo.url)


def write(tmp_path: Path, data: bytes) -> Path:
    file = tmp_path / "new-1.pack"
    file.write_bytes(data)
    return file


def blob_id(data: bytes) -> str:
    from dulwich.objects import Blob

    return Blob.from_string(data).id.decode()


def test_a_good_pack_is_indexed(tmp_path: Path) -> None:
    """Whole objects, deltas by distance and by id: all can be read afterwards."""
    base = b"0123456789abcdef" * 100
    first = hostile.packed(BLOB, base)
    second = hostile.packed(OFS_DELTA, hostile.repeat_delta(len(base), 2), base=hostile.distance(len(first)))
    third = hostile.packed(REF_DELTA, hostile.repeat_delta(len(base), 3), base=bytes.fromhex(blob_id(base)))
    add_pack(write(tmp_path, hostile.pack(first, second, third)), GitLimits(), Deadline.after(10))
    objects = Objects(tmp_path)
    for copies in (1, 2, 3):
        assert objects.read(blob_id(base * copies).encode()) == (BLOB, base * copies)
    objects.close()


def test_a_thin_pack_is_made_whole(tmp_path: Path) -> None:
    """Deltas on objects of another pack can be read without it afterwards."""
    base = b"0123456789abcdef" * 100
    delta = hostile.packed(REF_DELTA, hostile.repeat_delta(len(base), 3), base=bytes.fromhex(blob_id(base)))
    folder = tmp_path / "whole"
    folder.mkdir()
    add_pack(write(folder, hostile.pack(delta)), GitLimits(), Deadline.after(10), lambda id: (BLOB, base))
    objects = Objects(folder)
    assert objects.read(blob_id(base * 3).encode()) == (BLOB, base * 3)
    assert objects.read(blob_id(base).encode()) == (BLOB, base)
    objects.close()


def test_a_thin_pack_on_what_is_not_there(tmp_path: Path) -> None:
    """It is no error of the pack alone: what should be here may be damaged."""

    def nothing(id: bytes) -> tuple[int, bytes]:
        raise KeyError(id)

    def broken(id: bytes) -> tuple[int, bytes]:
        raise ValueError("damaged")

    delta = hostile.packed(REF_DELTA, hostile.repeat_delta(7, 1), base=b"\1" * 20)
    for bases in (nothing, broken):
        with pytest.raises(MissingBase):
            add_pack(write(tmp_path, hostile.pack(delta)), GitLimits(), Deadline.after(10), bases)


def test_a_thin_pack_cannot_copy_without_end(tmp_path: Path) -> None:
    """What its deltas build on counts like what it brings."""
    deltas = [hostile.packed(REF_DELTA, hostile.repeat_delta(MIB, 1), base=bytes([n]) * 20) for n in range(30)]
    file = write(tmp_path, hostile.pack(*deltas))
    with pytest.raises(ArchiveInvalid, match="for what it builds on"):
        add_pack(
            file, GitLimits(unfolded_bytes=20 * MIB), Deadline.after(10), lambda id: (BLOB, id[:1] + bytes(MIB - 1))
        )


def bad_packs() -> dict[str, bytes]:
    blob = hostile.packed(BLOB, b"content")
    good = hostile.pack(blob)
    return {
        "empty": b"",
        "no header": b"x" * 100,
        "wrong checksum": good[:-1] + bytes([good[-1] ^ 1]),
        "cut off": good[:-25],
        "fewer objects than declared": hostile.pack(blob, count=5),
        "declares too little": hostile.pack(hostile.packed(BLOB, b"x" * 1000, claim=10)),
        "declares too much": hostile.pack(hostile.packed(BLOB, b"x", claim=1000)),
        "no zlib": hostile.pack(hostile.object_header(BLOB, 5) + b"12345678901234567890"),
        "unknown type": hostile.pack(hostile.packed(5, b"x")),
        "endless size": hostile.pack(b"\xb0" + b"\xff" * 1000),
        "delta on nothing": hostile.pack(hostile.packed(REF_DELTA, hostile.repeat_delta(7, 1), base=b"\1" * 20)),
        "delta on itself": hostile.pack(blob, hostile.packed(OFS_DELTA, hostile.repeat_delta(7, 1), base=b"\0")),
        "delta before the pack": hostile.pack(
            blob, hostile.packed(OFS_DELTA, hostile.repeat_delta(7, 1), base=hostile.distance(10_000))
        ),
        "delta beyond its base": hostile.pack(
            blob, hostile.packed(OFS_DELTA, hostile.repeat_delta(5000, 1), base=hostile.distance(len(blob)))
        ),
    }


@pytest.mark.parametrize("name", bad_packs())
def test_damaged_packs(tmp_path: Path, name: str) -> None:
    """Every lie of a pack is found before anything is indexed."""
    file = write(tmp_path, bad_packs()[name])
    with pytest.raises(GitOperationFailed, match="damaged pack"):
        add_pack(file, GitLimits(), Deadline.after(10))
    assert not list(tmp_path.glob("pack-*.pack"))


def delta_bomb(levels: int, copies: int) -> bytes:
    """Each delta repeats the one before: size × copies at each level, in a few bytes."""
    base = b"A" * 0xFFFF
    objects, size = [hostile.packed(BLOB, base)], len(base)
    for _ in range(levels):
        unit = min(size, 0xFFFF)
        delta = hostile.varint(size) + hostile.repeat_delta(unit, copies)[len(hostile.varint(unit)) :]
        objects.append(hostile.packed(OFS_DELTA, delta, base=hostile.distance(len(objects[-1]))))
        size = unit * copies
    return hostile.pack(*objects)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: hostile.pack(hostile.packed(BLOB, bytes(101 * MIB))), "for one object"),
        (lambda: delta_bomb(1, 5000), "for one object"),
        (lambda: delta_bomb(40, 1000), "for all deltas"),
        (lambda: hostile.pack(*[hostile.packed(BLOB, bytes(30 * MIB))] * 9), "for all objects"),
    ],
    ids=["zlib bomb", "one huge delta", "chain of deltas", "many bombs"],
)
def test_bombs(tmp_path: Path, data: object, message: str) -> None:
    """Refused with little memory: the declared sizes are added up before anything is kept."""
    assert callable(data)
    file = write(tmp_path, data())
    assert file.stat().st_size < 20 * MIB
    program = (
        "import sys; from pathlib import Path\n"
        "from fleetbeat.errors import ArchiveInvalid\n"
        "from fleetbeat.sources.git import Deadline, GitLimits\n"
        "from fleetbeat.sources.git.pack import add_pack\n"
        "limits = GitLimits(object_bytes=100 << 20, delta_bytes=150 << 20, unfolded_bytes=200 << 20)\n"
        "try:\n    add_pack(Path(sys.argv[1]), limits, Deadline.after(60))\n"
        "except ArchiveInvalid as error:\n    print(error)\n"
    )

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (600 * MIB, 600 * MIB))

    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        capture_output=True,
        text=True,
        preexec_fn=bounded,
        env=dict(os.environ),
        timeout=60,
    )
    assert message in done.stdout, done.stderr
