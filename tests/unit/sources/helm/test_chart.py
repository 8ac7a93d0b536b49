"""Charts: what is one, what a hostile package meets, and that packing is exact and repeatable."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
import yaml

from fleetbeat.errors import ChartPackageFailed, ChartPullFailed
from fleetbeat.sources.helm.chart import Chart, read_package
from fleetbeat.sources.helm.limits import LIMITS
from tools.chartserver import helm, write_chart

pytestmark = pytest.mark.unit

CHART = b"apiVersion: v2\nname: app\nversion: 1.10.0\nappVersion: 1.10\ndeprecated: true\n"


def package(*members: tuple[str, bytes | tarfile.TarInfo]) -> io.BytesIO:
    """A .tgz of files, or of members as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def special(name: str, kind: bytes, target: str = "") -> tuple[str, tarfile.TarInfo]:
    """A member that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return name, info


def packed(chart: Chart) -> bytes:
    """The package of a chart."""
    out = io.BytesIO()
    chart.pack(out)
    return out.getvalue()


def test_what_helm_packages_is_read(tmp_path: Path) -> None:
    """Every file below the chart's directory, with its content."""
    source = write_chart(tmp_path / "app", "app", "1.2.3", {"crds/a.yaml": "a: 1\n"}, appVersion="1.10")
    helm("package", str(source), "--destination", str(tmp_path))
    with (tmp_path / "app-1.2.3.tgz").open("rb") as file:
        chart = read_package(file, "app")
    assert (chart.name, chart.version, chart.metadata["appVersion"]) == ("app", "1.2.3", "1.10")
    assert set(chart.files) == {"Chart.yaml", "values.yaml", "templates/map.yaml", "crds/a.yaml"}


def test_packing_is_repeatable_and_helm_reads_it(tmp_path: Path) -> None:
    """The order of the files makes no difference, and reading the package gives the chart back."""
    files = {"values.yaml": b"a: 1\n", "templates/x.yaml": b"", "Chart.yaml": CHART, "charts/b/Chart.yaml": CHART}
    first = packed(Chart.of(files, "app"))
    assert first == packed(Chart.of(dict(reversed(files.items())), "app"))
    assert read_package(io.BytesIO(first), "app").files == files
    (tmp_path / "app.tgz").write_bytes(first)
    assert yaml.safe_load(helm("show", "chart", str(tmp_path / "app.tgz")))["version"] == "1.10.0"


def test_another_version_leaves_the_rest_of_the_chart_alone() -> None:
    """Text stays text, flags stay flags."""
    chart = Chart.of({"Chart.yaml": CHART, "values.yaml": b"a: 1\n"}, "app").at_version("1.10.0+5")
    fields = yaml.safe_load(chart.files["Chart.yaml"])
    assert (fields["version"], fields["appVersion"], fields["deprecated"]) == ("1.10.0+5", "1.10", True)
    assert chart.files["values.yaml"] == b"a: 1\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name: app\nversion: 1.0.0\n", "no apiVersion"),
        (b"apiVersion: v2\nversion: 1.0.0\n", "no name"),
        (b"apiVersion: v2\nname: app\n", "no version"),
        (b"apiVersion: v2\nname: ../../app\nversion: 1.0.0\n", "not a name for a chart"),
        (b"apiVersion: v2\nname: app\nversion: new\n", "not a semantic version"),
        (b"apiVersion: [v2\n", "Chart.yaml: line"),
        (b"just text", "not a mapping"),
        (b"", "not a mapping"),
    ],
)
def test_a_malformed_chart_is_refused(content: bytes, says: str) -> None:
    """The message names file and field."""
    with pytest.raises(ChartPackageFailed, match=says):
        Chart.of({"Chart.yaml": content}, "chart x")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("app/values.yaml", b"")], "no Chart.yaml"),
        ([("Chart.yaml", CHART)], "not inside"),
        ([("app/Chart.yaml", CHART), ("app/../../etc/passwd", b"x")], "not inside"),
        ([("app/Chart.yaml", CHART), ("/etc/passwd", b"x")], "not inside"),
        ([special("app/Chart.yaml", tarfile.SYMTYPE, "/etc/passwd")], "link or device"),
        ([special("app/Chart.yaml", tarfile.LNKTYPE, "app/x")], "link or device"),
        ([special("app/Chart.yaml", tarfile.CHRTYPE)], "link or device"),
        ([("app/Chart.yaml", CHART), ("app/Chart.yaml", CHART)], "twice"),
        ([("app/Chart.yaml", CHART), ("app/big", bytes(LIMITS.file_bytes + 1))], "5 MiB"),
    ],
)
def test_a_hostile_package_is_refused(members: list[tuple[str, bytes | tarfile.TarInfo]], says: str) -> None:
    """Nothing outside of the chart's directory, nothing but plain files, nothing too large."""
    with pytest.raises((ChartPullFailed, ChartPackageFailed), match=says):
        read_package(package(*members), "chart x", ChartPullFailed)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", gzip.compress(b"hello" * 500), gzip.compress(bytes(10240))[:-9]],
    ids=["nothing", "text", "no tar", "cut off"],
)
def test_what_is_no_package_is_refused(data: bytes) -> None:
    """Whatever bytes a server sends."""
    with pytest.raises((ChartPullFailed, ChartPackageFailed), match="chart x"):
        read_package(io.BytesIO(data), "chart x", ChartPullFailed)


def test_a_bomb_is_refused_before_it_fills_memory() -> None:
    """A header that claims gigabytes, of zeros that compress to nothing, is read up to the limit."""
    header = tarfile.TarInfo("app/Chart.yaml")
    header.type, header.size = tarfile.XHDTYPE, LIMITS.total_bytes * 3
    bomb = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(LIMITS.total_bytes * 2), 1)
    assert len(bomb) < LIMITS.chart_bytes
    with pytest.raises(ChartPullFailed, match="unfolds to more"):
        read_package(io.BytesIO(bomb), "chart x", ChartPullFailed)
