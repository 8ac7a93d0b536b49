"""Charts from directories of an artifact: what goes into the package, with helm as the judge."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.errors import ChartFailed, DependencyBuildFailed
from fleetbeat.sources.helm.build import Built, Options, from_repository, from_tree
from fleetbeat.sources.helm.repositories import ChartRepository
from fleetbeat.sources.helm.tree import SourceTree
from tests.unit.sources.helm.conftest import Connect
from tools.chartserver import ChartServer, helm, write_chart

pytestmark = pytest.mark.unit


def artifact(directory: Path) -> Path:
    """What a source makes of a directory."""
    files = sorted(file for file in directory.rglob("*") if file.is_file() and not file.is_symlink())
    target = directory.parent / f"{directory.name}.tar.gz"
    with target.open("w+b") as out:
        write_archive((Entry(str(file.relative_to(directory)), file.read_bytes) for file in files), out)
    return target


def nobody(url: str) -> ChartRepository:
    """No repository is asked."""
    raise AssertionError(f"{url} was asked")


def build(directory: Path, path: str = "app", known: str = "", **options: object) -> tuple[Built, bytes]:
    """The chart at `path` of the directory's artifact, and its package."""
    out = io.BytesIO()
    with SourceTree(artifact(directory)) as tree:
        wanted = Options(**options)  # type: ignore[arg-type]
        built = from_tree(tree, path, wanted, lambda name, version: version == known, nobody, out)
    return built, out.getvalue()


def names(package: bytes) -> set[str]:
    """The files of a package."""
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        return set(tar.getnames())


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A source with the chart `app`."""
    write_chart(tmp_path / "source/app", "app", "1.0.0")
    yield tmp_path / "source"


@pytest.mark.parametrize("path", ["app", "./app", "app/", "x/../app"])
def test_a_directory_becomes_a_package(root: Path, path: str) -> None:
    """The same bytes each time, in the layout that helm expects."""
    built, package = build(root, path)
    assert (built.name, built.version, built.packaged, built.reason) == ("app", "1.0.0", True, "ChartPackageSucceeded")
    assert built.summary == "packaged 'app' chart with version '1.0.0'"
    assert names(package) == {"app/Chart.yaml", "app/values.yaml", "app/templates/map.yaml"}
    assert build(root, path)[1] == package


def test_what_is_known_is_not_packaged(root: Path) -> None:
    """A version that is stored already costs no more than reading the chart."""
    built, package = build(root, known="1.0.0")
    assert (built.archive, package) == (None, b"")


@pytest.mark.parametrize(
    "rules",
    [
        "*.md\n",
        "docs/\n",
        "/top.txt\n",
        "docs/*.txt\n",
        "!*.*\n",
        "# comment\n\n  secret*  \n",
        "deep\n",
        "[a-c]*.txt\n?op.txt\n",
        "docs/a.txt\ntemplates/*.txt\n",
        "a\\.txt\n",
    ],
)
def test_helmignore_leaves_out_what_helm_leaves_out(root: Path, tmp_path: Path, rules: str) -> None:
    """Files of our package are those of `helm package`."""
    chart = root / "app"
    extra = [
        "a.txt",
        "top.txt",
        "keep.md",
        "read.md",
        "docs/a.txt",
        "docs/deep/b.txt",
        "templates/.hidden",
        "secret.key",
    ]
    for path in [*extra, "templates/NOTES.txt", "deep/x", "docs/read.md"]:
        (chart / path).parent.mkdir(parents=True, exist_ok=True)
        (chart / path).write_text("x")
    (chart / ".helmignore").write_text(rules)
    helm("package", str(chart), "--destination", str(tmp_path))
    assert names(build(root)[1]) == names((tmp_path / "app-1.0.0.tgz").read_bytes())


def test_a_package_in_the_source_is_taken_too(root: Path) -> None:
    """spec.chart may name a .tgz."""
    helm("package", str(root / "app"), "--destination", str(root / "packed"))
    built, package = build(root, "packed/app-1.0.0.tgz", metadata="abc")
    assert built.version == "1.0.0+abc"
    assert "app/templates/map.yaml" in names(package)


def write(root: Path, files: Mapping[str, str]) -> None:
    """Put files into a source."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize(
    ("path", "files", "options", "reason", "says"),
    [
        ("nowhere", {}, {}, "InvalidChartReference", "does not exist"),
        ("docs", {"docs/a.md": "x"}, {}, "InvalidChartReference", "no Chart.yaml"),
        ("../app", {}, {}, "InvalidChartReference", "leaves the artifact"),
        ("/app", {}, {}, "InvalidChartReference", "leaves the artifact"),
        ("app", {"app/Chart.yaml": "name: app"}, {}, "ChartPackageError", "no apiVersion"),
        ("app", {"app/.helmignore": "a/**\n"}, {}, "ChartPackageError", "line 1"),
        ("app", {"app/.helmignore": "[a\n"}, {}, "ChartPackageError", "line 1"),
        ("app.tgz", {"app.tgz": "text"}, {}, "ChartPackageError", "no packaged chart"),
        ("app", {}, {"values_files": ("values.yaml",)}, "ValuesFilesError", "from the root of the source"),
        ("app", {}, {"values_files": ("../../etc/passwd",)}, "ValuesFilesError", "leaves the artifact"),
        ("app", {"bad.yaml": "a: ["}, {"values_files": ("bad.yaml",)}, "ValuesFilesError", "bad.yaml: line"),
    ],
)
def test_what_is_wrong_is_named(
    root: Path, path: str, files: dict[str, str], options: dict[str, object], reason: str, says: str
) -> None:
    """Reason and field or file."""
    write(root, files)
    with pytest.raises(ChartFailed, match=says) as raised:
        build(root, path, **options)
    assert raised.value.reason == reason


def depending(root: Path, *dependencies: dict[str, str], lock: list[dict[str, str]] | None = None) -> None:
    """Give the chart dependencies."""
    files = {"Chart.lock": f"dependencies: {lock}\n"} if lock is not None else {}
    write_chart(root / "app", "app", "1.0.0", files, dependencies=list(dependencies))


def test_local_dependencies_come_from_the_artifact(root: Path) -> None:
    """By relative paths, as helm's file:// means them."""
    write_chart(root / "lib", "lib", "0.3.1")
    depending(root, {"name": "lib", "version": "~0.3", "repository": "file://../lib"})
    built, package = build(root)
    assert built.dependencies == 1
    assert "with 1 dependencies added" in built.summary
    assert "app/charts/lib/templates/map.yaml" in names(package)


def test_vendored_dependencies_are_taken(root: Path, tmp_path: Path) -> None:
    """As packages and as directories; nobody is asked for them."""
    write_chart(tmp_path / "one", "one", "1.0.0")
    helm("package", str(tmp_path / "one"), "--destination", str(root / "app/charts"))
    write_chart(root / "app/charts/two", "two", "1.0.0")
    elsewhere = {"version": "1.x", "repository": "https://charts.example.com"}
    depending(root, {"name": "one", **elsewhere}, {"name": "two", **elsewhere})
    built, package = build(root)
    assert built.dependencies == 0
    assert {"app/charts/one-1.0.0.tgz", "app/charts/two/Chart.yaml"} <= names(package)


@pytest.mark.parametrize(
    ("dependency", "says"),
    [
        ({"repository": "file://../../lib"}, "leaves the artifact"),
        ({"repository": "file:///lib"}, "leaves the artifact"),
        ({"repository": "file://../nowhere"}, "does not exist"),
        ({"repository": "file://../lib", "version": ">=2"}, "not in '>=2'"),
        ({"repository": "file://../other"}, "named 'other'"),
        ({"repository": "@stable"}, "not supported"),
        ({}, "names no repository"),
    ],
)
def test_a_dependency_that_cannot_be_had_is_named(root: Path, dependency: dict[str, str], says: str) -> None:
    """DependencyBuildError with the name."""
    write_chart(root / "lib", "lib", "0.3.1")
    write_chart(root / "other", "other", "0.3.1")
    depending(root, {"name": "lib", "version": "*", **dependency})
    with pytest.raises(DependencyBuildFailed, match=says) as raised:
        build(root)
    assert "dependency lib" in raised.value.message


def remote(root: Path, repository: ChartRepository) -> tuple[Built, bytes]:
    """Build with a repository for every URL."""
    out = io.BytesIO()
    with SourceTree(artifact(root)) as tree:
        built = from_tree(tree, "app", Options(), lambda name, version: False, lambda url: repository, out)
    return built, out.getvalue()


def test_the_lock_decides_the_version(root: Path, server: ChartServer, connect: Connect) -> None:
    """Without one it is the highest in the range; one that is out of sync is an error."""
    server.add("dep", "1.0.0")
    server.add("dep", "1.5.0")
    need = {"name": "dep", "version": "1.x", "repository": server.url}
    for lock, expected in ((None, "1.5.0"), ([{"name": "dep", "version": "1.0.0", "repository": server.url}], "1.0.0")):
        depending(root, need, lock=lock)
        _, package = remote(root, connect())
        with tarfile.open(fileobj=io.BytesIO(package)) as tar:
            file = tar.extractfile("app/charts/dep/Chart.yaml")
            assert file is not None
            assert f"version: {expected}" in file.read().decode()
    depending(root, need, lock=[{"name": "dep", "version": "2.0.0", "repository": server.url}])
    with pytest.raises(DependencyBuildFailed, match="out of sync"):
        remote(root, connect())


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"name": "absent"}, "dependency absent: the index of .* has no chart 'absent'"),
        ({"version": ">=7"}, "dependency dep: no version of chart 'dep' .* is in '>=7'"),
        ({"version": "seven"}, "dependency dep: version 'seven' is not a range of versions"),
    ],
)
def test_a_dependency_is_named_once(
    root: Path, server: ChartServer, connect: Connect, wanted: dict[str, str], says: str
) -> None:
    """By whoever notices first that a repository does not have it."""
    server.add("dep", "1.0.0")
    depending(root, {"name": "dep", "version": "1.x", "repository": server.url, **wanted})
    with pytest.raises(DependencyBuildFailed, match=f"^{says}") as raised:
        remote(root, connect())
    assert raised.value.message.count("dependency ") == 1


def test_the_package_of_another_chart_is_refused(server: ChartServer, connect: Connect) -> None:
    """An index that leads to something else is not believed."""
    index = server.directory / "index.yaml"
    index.write_text(index.read_text().replace("name: app\n", "name: other\n").replace("  app:\n", "  other:\n"))
    repository = connect()
    found = repository.find("other", "1.2.0")
    with pytest.raises(ChartFailed, match=r"holds app 1\.2\.0"):
        from_repository(repository, found, Options(), io.BytesIO())
