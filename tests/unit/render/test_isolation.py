"""What a manifest may try to get out of the artifact: the disk, the network, programs, the environment."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import tarfile
import threading
from pathlib import Path

import pytest

from fleetbeat.errors import ArchiveInvalid, BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
REFERENCES = [
    "resources: [%s]",
    "bases: [%s]",
    "components: [%s]",
    "crds: [%s]",
    "configurations: [%s]",
    "generators: [%s]",
    "transformers: [%s]",
    "validators: [%s]",
    "patches: [{path: %s}]",
    "patchesStrategicMerge: [%s]",
    "patchesJson6902: [{path: %s, target: {version: v1, kind: ConfigMap, name: a}}]",
    "replacements: [{path: %s}]",
    "openapi: {path: %s}",
    "configMapGenerator: [{name: x, files: [%s]}]",
    "configMapGenerator: [{name: x, envs: [%s]}]",
    "secretGenerator: [{name: x, files: [key=%s]}]",
]


def build(engine: Engine, pack: Pack, kustomization: str, **files: str) -> list[dict[str, object]]:
    """Objects of `app/` with this kustomization file, next to `a.yaml`."""
    more = {f"app/{name.replace('_', '.')}": content for name, content in files.items()}
    artifact = pack(
        {"app/kustomization.yaml": kustomization, "app/a.yaml": CM, **more}, {"app/link.yaml": "/etc/passwd"}
    )
    return render(engine, *artifact, {"path": "app"}).objects


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "../../../../proc/self/environ"])
def test_no_field_reads_the_workers_disk(engine: Engine, pack: Pack, reference: str, target: str) -> None:
    """Every field that names a file refuses one outside of the source, and says which."""
    text = "resources: [a.yaml]\n" if not reference.startswith("resources") else ""
    with pytest.raises(BuildFailed) as failure:
        build(engine, pack, text + reference % target)
    assert "outside of the source" in failure.value.message or "cannot be absolute" in failure.value.message
    assert "root:" not in failure.value.message


@pytest.mark.parametrize("reference", REFERENCES)
def test_no_field_follows_a_link(engine: Engine, pack: Pack, reference: str) -> None:
    """Symbolic links do not exist in an artifact."""
    text = "resources: [a.yaml]\n" if not reference.startswith("resources") else ""
    with pytest.raises(BuildFailed, match=r"link\.yaml' is a link, which artifacts do not carry"):
        build(engine, pack, text + reference % "link.yaml")


@pytest.fixture
def callers() -> list[object]:
    """Connections that reached the listener of `url`."""
    return []


@pytest.fixture
def url(callers: list[object]) -> str:
    """A URL that would be found out when fetched."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)

    def accept() -> None:
        with server:
            try:
                connection, peer = server.accept()
            except OSError:
                return
            callers.append(peer)
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("reference", [one for one in REFERENCES if "%s" in one])
def test_no_field_reaches_the_network(
    engine: Engine, pack: Pack, url: str, callers: list[object], reference: str
) -> None:
    """HTTP is refused everywhere with a message that names file and URL, and nothing is connected to."""
    text = "resources: [a.yaml]\n" if not reference.startswith("resources") else ""
    with pytest.raises(BuildFailed, match=r"app/kustomization\.yaml: .*127\.0\.0\.1.* is remote"):
        build(engine, pack, text + reference % f"{url}/x.yaml")
    assert not callers


@pytest.mark.parametrize(
    "base",
    [
        "https://github.com/org/repo//deploy?ref=v1",
        "github.com/org/repo",
        "git@github.com:org/repo.git",
        "ssh://git@host/repo.git",
        "git::https://host/repo.git",
        "file:///etc",
    ],
)
def test_remote_bases_are_refused(engine: Engine, pack: Pack, base: str) -> None:
    """Whatever kustomize would clone is refused by name."""
    with pytest.raises(BuildFailed, match="is remote; remote bases and files are refused, commit them to the source"):
        build(engine, pack, f"resources: ['{base}']")


def test_remote_bases_of_a_base_are_named_with_its_file(engine: Engine, pack: Pack) -> None:
    """The message names the file that has the reference, not the one that was asked for."""
    artifact = pack({"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: ['https://h/x']"})
    with pytest.raises(BuildFailed, match=r"^b/kustomization\.yaml: https://h/x is remote"):
        render(engine, *artifact, {"path": "a"})


FUNCTION = (
    "apiVersion: x/v1\nkind: Fn\nmetadata:\n  name: f\n  annotations:\n    config.kubernetes.io/function: |\n      %s\n"
)


@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
@pytest.mark.parametrize(
    "plugin",
    [
        FUNCTION % "exec: {path: /bin/sh}",
        FUNCTION % "container: {image: busybox, network: true}",
        FUNCTION % "starlark: {path: ../../x.star}",
        "apiVersion: team.example.com/v1\nkind: Fn\nmetadata: {name: f}\n",
    ],
    ids=["exec", "container", "starlark", "go"],
)
def test_plugins_are_refused(engine: Engine, pack: Pack, field: str, plugin: str) -> None:
    """Only kustomize's built-in plugins run."""
    with pytest.raises(BuildFailed, match="external plugins disabled"):
        build(engine, pack, f"resources: [a.yaml]\n{field}: [f.yaml]", f_yaml=plugin)


@pytest.mark.parametrize(
    ("kustomization", "generator", "message"),
    [
        (
            "helmCharts: [{name: x, repo: 'https://h'}]",
            "",
            r"app/kustomization\.yaml: helmCharts are not inflated here",
        ),
        (
            "generators: [h.yaml]",
            "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: h}\nname: x\nrepo: https://h\n",
            "must specify --enable-helm",
        ),
    ],
)
def test_charts_are_not_inflated(engine: Engine, pack: Pack, kustomization: str, generator: str, message: str) -> None:
    """Helm is not started from a kustomization."""
    with pytest.raises(BuildFailed, match=message):
        build(engine, pack, kustomization, h_yaml=generator)


def test_the_environment_does_not_reach_a_build(
    engine_binary: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable named in an env file without a value does not get the worker's."""
    monkeypatch.setenv("WORKERS_SECRET", "hunter2")
    with Engine(engine_binary) as engine:
        built = build(engine, pack, "configMapGenerator: [{name: x, envs: [x.env]}]", x_env="WORKERS_SECRET\nPATH\n")
        assert built[0]["data"] == {"WORKERS_SECRET": "", "PATH": ""}
        child = engine._shared_child()._process.pid
        assert b"hunter2" not in Path(f"/proc/{child}/environ").read_bytes()


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar.gz of hand-made entries."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry(name: str, content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    """A regular file."""
    return tarfile.TarInfo(name), content


BOMB = gzip.compress(b"x" * 20_000_000)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (archive(entry("../x.yaml")), r'an entry "\.\./x\.yaml", which leaves it'),
        (archive(entry("a/../../x.yaml")), "which leaves it"),
        (archive(entry("/etc/cron.d/x")), "which leaves it"),
        (archive(entry("x", b"\0" * 20_000_000)), "unpacks to more than 8 MiB"),
        (archive(*(entry(f"{n}", b"\0" * 1_000_000) for n in range(9))), "unpacks to more than 8 MiB"),
        (archive(*(entry(f"{n}") for n in range(50_001))), "more than 50000 entries"),
        (archive(entry("x", os.urandom(9_000_000))), "unpacks to more than 8 MiB"),
        (BOMB, "not a valid tar.gz"),
        (b"hello", "not a valid tar.gz"),
        (archive(entry("x", os.urandom(100_000)))[:50_000], "not a valid tar.gz"),
    ],
    ids=["up", "hidden-up", "absolute", "one-large", "many-large", "many", "packed-large", "no-tar", "no-gzip", "cut"],
)
def test_malicious_archives_are_refused(engine_binary: Path, tmp_path: Path, packed: bytes, message: str) -> None:
    """Escapes and bombs are refused as a whole, with the reason."""
    file = tmp_path / "artifact"
    file.write_bytes(packed)
    with (
        Engine(engine_binary, artifact_mib=8) as engine,
        pytest.raises(ArchiveInvalid, match=message),
    ):
        render(engine, file, f"sha256:{hashlib.sha256(packed).hexdigest()}", {})
