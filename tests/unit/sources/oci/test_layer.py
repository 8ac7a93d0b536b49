"""What becomes of a layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetbeat.api.source import LayerSelector
from fleetbeat.artifacts.archive import Archive, Limits, write_archive
from fleetbeat.errors import ArchiveInvalid, OCILayerFailed, OCIPullFailed
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.layer import pull, read_manifest
from fleetbeat.sources.oci.limits import OciLimits
from fleetbeat.sources.oci.login import Login
from fleetbeat.sources.oci.manifest import CHART_LAYER, FLUX_LAYER, OCI_INDEX, Document
from fleetbeat.sources.oci.shelf import LayerShelf
from fleetbeat.sources.oci.tarball import Tarball, unfold
from tests.support import oci
from tests.unit.sources.oci.conftest import Servers
from tools.registry import RegistryServer

pytestmark = pytest.mark.unit


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry of a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], **options: Any) -> bytes:
    """An uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def listed(
    data: bytes, custom: str | None = None, limits: Limits | None = None
) -> dict[str, tuple[bytes | None, bool]]:
    """Path → content (None of a directory) and whether it is executable."""
    limits, deadline, out = limits or Limits(), Deadline.after(20), io.BytesIO()
    unfold(io.BytesIO(data), out, limits, deadline)
    entries = Tarball(out, limits, deadline).entries(custom)
    return {entry.path: (entry.read() if entry.read else None, entry.executable) for entry in entries}


def pulled(server: RegistryServer, name: str, tmp_path: Path, selector: LayerSelector | None = None) -> Archive:
    """The layer of the tag latest as an archive."""
    registry = oci.client(server.host, name)
    manifest = read_manifest(registry, registry.resolve("latest").digest)
    return pull(registry, manifest, selector, None, tmp_path)


def test_tree_is_taken_as_it_is_meant() -> None:
    """Parents that the tar leaves out, `./`, modes, hard links and a later version of a file; symlinks are dropped."""
    data = tar(
        [
            member("./", type=tarfile.DIRTYPE),
            member("./b/c.yaml", b"old"),
            member("b/c.yaml", b"new", mode=0o755),
            member("a/", type=tarfile.DIRTYPE),
            member("a/link", type=tarfile.SYMTYPE, linkname="../../etc/passwd"),
            member("hard", type=tarfile.LNKTYPE, linkname="b/c.yaml"),
            member("ü" * 120, b"long"),
        ],
        format=tarfile.PAX_FORMAT,
        pax_headers={"comment": "from git"},
    )
    assert listed(gzip.compress(data)) == {
        "a": (None, False),
        "b": (None, False),
        "b/c.yaml": (b"new", True),
        "hard": (b"new", True),
        "ü" * 120: (b"long", False),
    }


def test_plain_tar_and_several_gzip_members_do_as_well() -> None:
    """Whatever the media type says, the bytes decide."""
    data = tar([member("a", b"1")])
    assert listed(data) == listed(gzip.compress(data[:700]) + gzip.compress(data[700:])) == {"a": (b"1", False)}


def test_ignore_rules_apply() -> None:
    """Default exclusions without a pattern; .sourceignore and spec.ignore instead of them."""
    files = {"a.yaml": b"", "b.png": b"", "c/.sourceignore": b"*.txt", "c/d.txt": b"", ".git/config": b""}
    plain = tar([member(name, b"x") for name in files if "source" not in name])
    assert set(listed(plain)) == {"a.yaml", "c", "c/d.txt"}
    assert set(listed(tar([member(name, data) for name, data in files.items()]))) == {
        "a.yaml",
        "b.png",
        "c",
        "c/.sourceignore",
    }
    assert set(listed(plain, "/*\n!/c/")) == {"c", "c/d.txt"}


@pytest.mark.parametrize(
    "members",
    [
        [member("/etc/passwd", b"x")],
        [member("a/../../b", b"x")],
        [member("..", type=tarfile.DIRTYPE)],
        [member("a", b"x"), member("a/b", b"x")],
        [member("a/b", b"x"), member("a", b"x")],
        [member("fifo", type=tarfile.FIFOTYPE)],
        [member("disk", type=tarfile.BLKTYPE)],
        [member("hard", type=tarfile.LNKTYPE, linkname="missing")],
        [member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
        [member("a", b"x", pax_headers={"path": "../../b"})],
        [member("a", b"x", pax_headers={"size": "-513"})],
        [member("a", b"x", pax_headers={"size": "999999999"})],
        [member("a", b"x", pax_headers={"comment": "y" * 300_000})],
        [member("a" * 5000, b"x")],
    ],
)
def test_unsafe_trees_are_refused(members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: Path) -> None:
    """Escapes, contradictions, devices, and headers made to confuse or to fill memory."""
    out, deadline = io.BytesIO(), Deadline.after(20)
    unfold(io.BytesIO(tar(members, format=tarfile.PAX_FORMAT)), out, Limits(), deadline)
    with pytest.raises((OCILayerFailed, ArchiveInvalid)):
        write_archive(Tarball(out, Limits(), deadline).entries(None), io.BytesIO())


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (Limits(entries=2), "more than 2 files"),
        (Limits(file_bytes=1000), "1000 allowed"),
        (Limits(total_bytes=1000, entries=1), "unfolds to more"),
    ],
)
def test_bombs_are_capped(limits: Limits, fault: str) -> None:
    """Files, one file, all of them."""
    data = gzip.compress(tar([member(f"f{number}", bytes(5000)) for number in range(3)]))
    with pytest.raises(OCILayerFailed, match=fault):
        listed(data, limits=limits)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no tar at all" * 100,
        gzip.compress(b"no tar at all" * 100),
        gzip.compress(tar([member("a", b"x")]))[:-10],
        gzip.compress(tar([member("a", b"x")])) + b"trailing",
        tar([member("a", b"x" * 2000)])[:1500],
        tar([member("a", b"x"), member("b", b"y")])[:1024] + b"Z" * 512 + bytes(1024),
        b"\x28\xb5\x2f\xfd" + b"zstd",
    ],
    ids=["empty", "text", "gzipped text", "cut gzip", "trailing", "cut file", "damaged middle", "zstd"],
)
def test_damaged_layers_are_refused(data: bytes) -> None:
    """Nothing of a layer is used when a part of it cannot be read: what is missing would be pruned."""
    with pytest.raises(OCILayerFailed):
        listed(data)


def test_random_damage_never_gets_beyond_our_errors() -> None:
    """Whatever bytes arrive, the outcome is a tree or OCILayerFailed, and soon."""
    good = bytearray(tar([member(f"d/{number}", b"x" * number) for number in range(20)], format=tarfile.PAX_FORMAT))
    dice = random.Random(7)
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        try:
            listed(bytes(bad))
        except OCILayerFailed:
            continue


def test_extracted_layer_is_archived_by_our_rules(registry: RegistryServer, name: str, tmp_path: Path) -> None:
    """Equal trees make equal artifacts, whatever the layer's own bytes."""
    first = tar([member("a.yaml", b"a: 1"), member("x.png", b"x")])
    made = []
    for layer in (gzip.compress(first), gzip.compress(first, 1, mtime=7), first):
        oci.push_layers(registry, name, "latest", [(FLUX_LAYER, layer)])
        with pulled(registry, name, tmp_path).file as file:
            made.append(hashlib.sha256(file.read()).hexdigest())
    assert len(set(made)) == 1


def test_layer_is_selected_by_type_and_copied(registry: RegistryServer, name: str, tmp_path: Path) -> None:
    """A chart beside its provenance is stored byte by byte, under the layer's digest."""
    layers = [("text/plain", b"provenance"), (CHART_LAYER, b"chart"), (CHART_LAYER, b"second")]
    oci.push_layers(registry, name, "latest", layers)
    found = pulled(registry, name, tmp_path, LayerSelector(media_type=CHART_LAYER, operation="copy"))
    with found.file as file:
        assert file.read() == b"chart"
    assert (found.digest, found.size) == (f"sha256:{hashlib.sha256(b'chart').hexdigest()}", 5)


@pytest.mark.parametrize(
    ("layers", "fault"),
    [([], "has no layer"), ([("text/plain", b"x"), ("text/html", b"y")], "the manifest has text/plain, text/html")],
)
def test_missing_layer_is_told(
    registry: RegistryServer, name: str, tmp_path: Path, layers: list[tuple[str, bytes]], fault: str
) -> None:
    """With the types that are there."""
    oci.push_layers(registry, name, "latest", layers)
    with pytest.raises(OCILayerFailed, match=fault):
        pulled(registry, name, tmp_path, LayerSelector(media_type=CHART_LAYER))


ARM = {"os": "linux", "architecture": "arm64"}
AMD = {"os": "linux", "architecture": "amd64"}


@pytest.mark.parametrize(
    ("platforms", "meant"), [((ARM, AMD), 1), ((ARM, None, AMD), 1), ((AMD | {"variant": "v2"}, AMD), 0), ((None,), 0)]
)
def test_of_an_index_linux_amd64_is_meant(
    registry: RegistryServer, name: str, platforms: tuple[dict[str, str] | None, ...], meant: int
) -> None:
    """Its first entry for it, or without a platform: what Flux's client (go-containerregistry) takes."""
    digest, pushed = push_index(registry, name, *platforms)
    assert read_manifest(oci.client(registry.host, name), digest).digest == pushed[meant]


@pytest.mark.parametrize("platforms", [(), (ARM,), (AMD | {"os": "windows"},)])
def test_index_without_that_platform_is_refused(
    registry: RegistryServer, name: str, platforms: tuple[dict[str, str], ...]
) -> None:
    """With what to do."""
    digest, _ = push_index(registry, name, *platforms)
    with pytest.raises(OCIPullFailed, match=r"without an entry for linux/amd64; set spec\.ref\.digest"):
        read_manifest(oci.client(registry.host, name), digest)


def test_index_of_indexes_is_refused(registry: RegistryServer, name: str) -> None:
    """Nobody makes such ones for Flux, and a loop of them would never end."""
    inner, _ = push_index(registry, name, AMD)
    writer = oci.writer(registry, name)
    document = Document(2, OCI_INDEX, manifests=(writer.manifest(inner).descriptor,))
    outer = writer.push_manifest("outer", msgspec.json.encode(document), OCI_INDEX)
    with pytest.raises(OCIPullFailed, match="index of image indexes"):
        read_manifest(oci.client(registry.host, name), outer)


def push_index(registry: RegistryServer, name: str, *platforms: dict[str, str] | None) -> tuple[str, list[str]]:
    """An index below `latest` with an image for each platform: its digest, and theirs."""
    writer = oci.writer(registry, name)
    pushed = [oci.push(registry, name, f"n{number}", {"a": str(number)}) for number in range(len(platforms))]
    entries = (
        msgspec.structs.replace(writer.manifest(digest).descriptor, platform=platform)
        for digest, platform in zip(pushed, platforms, strict=True)
    )
    document = Document(2, OCI_INDEX, manifests=tuple(entries))
    return writer.push_manifest("latest", msgspec.json.encode(document), OCI_INDEX), pushed


def test_manifest_with_too_many_annotations_is_refused(registry: RegistryServer, name: str) -> None:
    """They would go into the status of the resource."""
    digest = oci.push(registry, name, "latest", {"a": "b"}, {"big": "x" * 70_000})
    with pytest.raises(OCIPullFailed, match="annotations"):
        read_manifest(oci.client(registry.host, name), digest)


def test_limits_of_a_layer_hold_before_it_is_read(registry: RegistryServer, name: str, tmp_path: Path) -> None:
    """The manifest tells the size."""
    oci.push(registry, name, "latest", {"a": "b"})
    registry_client = oci.client(registry.host, name)
    registry_client.limits = OciLimits(blob_bytes=10)
    manifest = registry_client.manifest("latest")
    with pytest.raises(OCIPullFailed, match="more than the 10"):
        pull(registry_client, manifest, None, None, tmp_path)


def test_layer_is_fetched_once_for_equal_accounts_only(registries: Servers, name: str, tmp_path: Path) -> None:
    """A worker meets its own archive again; another account, repository or rule makes one, and damage is noticed."""
    server = registries("plain")
    layer = oci.archive({"a.yaml": "a: 1"}).file.read()
    fetched: list[str] = []

    def pulled_by(login: Login, repository: str = name, custom: str | None = None) -> str:
        oci.push_layers(server, repository, "latest", [(FLUX_LAYER, layer)])
        reader = oci.client(server.host, repository, oci.access_to(server, login))
        original = reader.blob
        reader.blob = lambda blob, *rest: (fetched.append(blob.digest), original(blob, *rest))[1]  # type: ignore[assignment,method-assign]
        made = pull(reader, read_manifest(reader, reader.resolve("latest").digest), None, custom, tmp_path)
        with made.file as file:
            return hashlib.sha256(file.read()).hexdigest()

    one, other = Login("one", "1"), Login("other", "2")
    first = pulled_by(one)
    assert (pulled_by(one), len(fetched)) == (first, 1)
    for arguments in ((other,), (one, f"{name}-2"), (one, name, "*.txt")):
        before = len(fetched)
        pulled_by(*arguments)
        assert len(fetched) == before + 1
    for file in (tmp_path / "layers").glob("*.tar.gz"):
        file.write_bytes(b"damaged")
    before = len(fetched)
    assert (pulled_by(one), len(fetched)) == (first, before + 1)


def test_shelf_has_an_end(tmp_path: Path) -> None:
    """The oldest goes, and what is too large never comes."""
    shelf = LayerShelf(tmp_path / "shelf", kept=2, kept_bytes=2000)
    for number in range(3):
        with oci.archive({f"{number}": "x"}).file as file:
            data = file.read()
            made = Archive(io.BytesIO(data), f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), 1)
        shelf.keep(str(number), made)
        os.utime(tmp_path / "shelf" / f"{number}.tar.gz", (number, number))
    shelf.keep("huge", Archive(io.BytesIO(b""), "sha256:", 3000, 1))
    found = {name: shelf.find(name) for name in ("0", "1", "2", "huge")}
    assert [name for name, archive in found.items() if archive] == ["1", "2"]
    for archive in found.values():
        if archive:
            archive.close()
