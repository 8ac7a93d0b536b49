"""`fleetbeat push|pull|tag|diff|list artifact` against a real registry."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from fleetbeat.errors import FleetbeatError
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.login import Access, Login
from fleetbeat.sources.oci.manifest import FLUX_CONFIG, FLUX_LAYER
from fleetbeat.sources.oci.reference import Repository
from fleetbeat.sources.oci.registry import Registry
from tools.registry import RegistryServer
from workers.cli.main import app

pytestmark = pytest.mark.unit

FILES = {"deploy/app.yaml": "kind: ConfigMap\n", "deploy/run.sh": "#!/bin/sh\n", "logo.png": "image", "notes.md": "n\n"}
ORIGIN = ("--source", "https://example.com/team/apps", "--revision", "main@sha1:abc")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks for a password."""
    with RegistryServer(tmp_path_factory.mktemp("registry"), account=("ann", "secret")) as server:
        yield server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with an executable, a symlink and files that sources leave out."""
    root = tmp_path / "tree"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "deploy/run.sh").chmod(0o755)
    (root / "deploy/link").symlink_to("/etc/passwd")
    (root / "deploy/.sourceignore").write_text("skipped\n")
    (root / "deploy/skipped").write_text("x")
    return root


@pytest.fixture
def docker(tmp_path: Path, registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has logged in with `docker login`."""
    auth = base64.b64encode(b"ann:secret").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def run(*words: str | Path) -> Result:
    """The command in this process; errors are raised as they are."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if isinstance(done.exception, FleetbeatError):
        raise done.exception
    return done


def push(registry: RegistryServer, tree: Path, name: str, tag: str = "v1.0.0", *more: str) -> dict[str, str]:
    """Push and return what `-o json` says."""
    url = f"oci://{registry.host}/{name}:{tag}"
    done = run("push", "artifact", url, "--path", tree, *ORIGIN, "-o", "json", "--insecure-registry", *more)
    assert done.exit_code == 0, done.output
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("docker")
def test_what_is_pushed_has_the_form_of_flux_and_comes_back(
    registry: RegistryServer, tree: Path, tmp_path: Path
) -> None:
    """Media types and annotations are flux's; links and ignored files stay here, the rest is pulled as it was."""
    said = push(registry, tree, "team/apps")
    access = Access(Login("ann", "secret"), insecure=True)
    manifest = Registry(Repository(registry.host, "team/apps"), access, Deadline.after(10)).manifest("v1.0.0")
    assert said["digest"] == manifest.digest
    assert manifest.document.config is not None
    assert (manifest.document.config.media_type, manifest.layers[0].media_type) == (FLUX_CONFIG, FLUX_LAYER)
    annotations = {"org.opencontainers.image.source": ORIGIN[1], "org.opencontainers.image.revision": ORIGIN[3]}
    assert annotations.items() <= manifest.annotations.items()
    out = tmp_path / "out"
    out.mkdir()
    url = f"oci://{said['repository']}@{said['digest']}"
    assert run("pull", "artifact", url, "--output", out, "--insecure-registry").exit_code == 0
    pulled = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert pulled == {*FILES, "deploy/.sourceignore"}
    assert (out / "deploy/run.sh").stat().st_mode & 0o111


@pytest.mark.usefixtures("docker")
def test_equal_content_pushed_reproducibly_has_an_equal_digest(registry: RegistryServer, tree: Path) -> None:
    """The time alone tells two other pushes apart."""
    digests = {push(registry, tree, "team/same", tag, "--reproducible")["digest"] for tag in ("a", "b")}
    assert len(digests) == 1


@pytest.mark.usefixtures("docker")
def test_tags_are_added_and_listed(registry: RegistryServer, tree: Path) -> None:
    """One manifest under further tags; lists can be narrowed to versions or by a pattern."""
    digest = push(registry, tree, "team/tags")["digest"]
    url = f"oci://{registry.host}/team/tags"
    assert run("tag", "artifact", f"{url}:v1.0.0", "--tag", "v1.1.0,staging", "--insecure-registry").exit_code == 0

    def listed(*words: str) -> set[str]:
        done = run("list", "artifacts", url, "-o", "json", "--insecure-registry", *words)
        rows = json.loads(done.stdout)
        assert {row["digest"] for row in rows} == {digest}
        assert {row["revision"] for row in rows} == {"main@sha1:abc"}
        return {row["artifact"].rpartition(":")[2] for row in rows}

    assert listed() == {"v1.0.0", "v1.1.0", "staging"}
    assert listed("--filter-semver", ">=1.1") == {"v1.1.0"}
    assert listed("--filter-regex", "^st") == {"staging"}


@pytest.mark.usefixtures("docker")
def test_a_difference_is_shown_and_ends_with_1(registry: RegistryServer, tree: Path) -> None:
    """Nothing is printed but the verdict when both are equal; a changed, a new and a removed file are told apart."""
    url = f"oci://{registry.host}/team/diff:v1.0.0"
    push(registry, tree, "team/diff")
    words = ("diff", "artifact", url, "--path", tree, "--insecure-registry")
    same = run(*words)
    assert (same.exit_code, "has no changes" in same.stdout) == (0, True)
    (tree / "deploy/app.yaml").write_text("kind: Secret\n")
    (tree / "new.yaml").write_text("n: 1\n")
    (tree / "deploy/run.sh").unlink()
    changed = run(*words)
    assert changed.exit_code == 1
    for line in ("-kind: ConfigMap", "+kind: Secret", "+++ b/new.yaml", "+++ /dev/null"):
        assert line in changed.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("pull artifact oci://HOST/no/such:tag --output .", "not found in the registry; check the URL and its tag"),
        ("list artifacts oci://ann:x@HOST/a", "carries an account; pass it by --creds"),
        ("pull artifact oci://HOST/no/such:tag --output . --creds ann:wrong", "docker login"),
        ("pull artifact https://HOST/no/such:tag --output .", "must begin with oci://"),
        ("pull artifact oci://HOST/no/such:tag --output /nowhere", "is not a directory"),
        ("push artifact oci://HOST/a@sha256:0 --path . --source s --revision r", "neither a tag nor"),
        ("push artifact oci://HOST/a:b --path /nowhere --source s --revision r", "neither a directory nor a file"),
        ("tag artifact oci://HOST/a:b --tag no+tag", "is not a tag"),
        ("list artifacts oci://HOST/a:b", "carries a tag or digest; leave it out"),
    ],
)
@pytest.mark.usefixtures("docker")
def test_what_cannot_be_done_is_one_clear_sentence(registry: RegistryServer, words: str, says: str) -> None:
    """Each with what to do about it, and never a password."""
    with pytest.raises(FleetbeatError) as caught:
        run(*words.replace("HOST", registry.host).split(), "--insecure-registry")
    assert says in caught.value.message
    assert "secret" not in caught.value.message.lower()
    assert "spec." not in caught.value.message


@pytest.mark.usefixtures("docker")
def test_a_registry_of_this_machine_may_speak_plain_http(registry: RegistryServer, tree: Path) -> None:
    """Without an option; any other needs it, and its name is told."""
    url = f"oci://{registry.host}/team/plain:v1"
    assert run("push", "artifact", url, "--path", tree, *ORIGIN).exit_code == 0
    named = url.replace("127.0.0.1", "localhost")
    assert run("tag", "artifact", named, "--tag", "v2", "--creds", "ann:secret").exit_code == 0
    with HTTPServer(("127.0.0.2", 0), BaseHTTPRequestHandler) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        away = f"oci://127.0.0.2:{other.server_port}/team/plain:v1"
        with pytest.raises(FleetbeatError, match="does not speak TLS; --insecure-registry allows plain HTTP"):
            run("tag", "artifact", away, "--tag", "v2")
        other.shutdown()


def test_build_writes_the_same_archive_every_time(tree: Path, tmp_path: Path) -> None:
    """What push would upload, as a file."""
    outputs = [tmp_path / "one.tgz", tmp_path / "two.tgz"]
    for output in outputs:
        assert run("build", "artifact", "--path", tree, "--output", output, "--ignore-paths", "*.md").exit_code == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    with tarfile.open(outputs[0]) as tar:
        assert "notes.md" not in tar.getnames()
        assert "deploy/app.yaml" in tar.getnames()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o755, 0o400, 0o4755])
def test_an_archive_has_the_permission_bits_of_files_and_directories(tree: Path, tmp_path: Path, mode: int) -> None:
    """As flux writes them, and neither times nor owners."""
    (tree / "deploy/app.yaml").chmod(mode)
    (tree / "deploy").chmod(0o711)
    output = tmp_path / "made.tgz"
    assert run("build", "artifact", "--path", tree, "--output", output).exit_code == 0
    with tarfile.open(output) as tar:
        modes = {member.name: member.mode for member in tar}
        assert (modes["deploy"], modes["deploy/app.yaml"]) == (0o711, mode & 0o777)
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in tar} == {(0, 0, 0, "")}
