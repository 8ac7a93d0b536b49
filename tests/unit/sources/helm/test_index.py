"""Indexes: what helm writes is kept and found again, what is malformed is named, a large one takes little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import yaml

from fleetbeat.errors import IndexationFailed
from fleetbeat.sources.helm.index import Counted, convert, entries_of
from tools.chartserver import ChartServer

pytestmark = pytest.mark.unit

GOOD = (
    "apiVersion: v1\nentries:\n  app:\n  - {name: app, version: 1.10, urls: [app.tgz], created: 2024-01-01T00:00:00Z}\n"
)


def converted(text: str) -> bytes:
    """The JSON of an index."""
    out = BytesIO()
    convert(BytesIO(text.encode()), out)
    return out.getvalue()


def test_what_helm_writes_is_kept_whole(server: ChartServer) -> None:
    """Our JSON says of every chart what YAML's own reader says, with all scalars as the text that stands there."""
    text = (server.directory / "index.yaml").read_text()
    assert json.loads(converted(text)) == yaml.load(text, Loader=yaml.CBaseLoader)


def test_an_index_in_json_gives_the_same(server: ChartServer) -> None:
    """helm repo index --json writes JSON into index.yaml; it is read with other means to the same end."""
    as_yaml = json.loads(converted((server.directory / "index.yaml").read_text()))
    server.index("--json")
    as_json = json.loads(converted((server.directory / "index.yaml").read_text()))
    generated = [index.pop("generated") for index in (as_yaml, as_json)]
    assert len(generated) == 2
    assert _without_time(as_json) == _without_time(as_yaml)


def _without_time(index: dict[str, dict[str, list[dict[str, str]]]]) -> object:
    for versions in index["entries"].values():
        for version in versions:
            version.pop("created")
    return index


def test_versions_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    """1.10 is not 1.1."""
    file = tmp_path / "index.json"
    file.write_bytes(converted(GOOD))
    assert [(entry.version, entry.urls) for entry in entries_of(file, "app") or ()] == [("1.10", ("app.tgz",))]
    assert entries_of(file, "other") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<!DOCTYPE html>\n<html><body>hello</body></html>", "not a mapping"),
        ("", "empty"),
        ("apiVersion: v1\nentries:\n  app: [\n", "line "),
        ("apiVersion: v1\nentries:\n  app: {name: app}\n", "entries.app is not a list"),
        ("apiVersion: v1\nentries:\n  app:\n  - {name: app, version: 1.0.0}\n  - text\n", "entries.app[1]"),
        ("apiVersion: v1\nentries:\n  app:\n  - {name: app, version: 1.0.0, urls: text}\n", "entries.app[0].urls"),
        ("apiVersion: v1\nentries: [1]\n", "entries is not a mapping"),
        ("entries: {}\n", "apiVersion"),
        ('{"apiVersion": "v1", "entries": {"app": [{}, 7]}}', "entries.app[1]"),
        ('{"apiVersion": "v1", "entries": {"app": 7}}', "entries"),
        ('{"apiVersion": ', "malformed"),
        ("apiVersion: v1\nx: &a [1]\nentries:\n  app:\n  - {annotations: *a}\n", "entries.app[0]"),
        ("apiVersion: v1\nentries:\n  app:\n  - " + "[" * 60 + "]" * 60, "nests deeper"),
    ],
)
def test_a_malformed_index_is_refused_with_the_place(text: str, says: str) -> None:
    """Whoever reads the message knows which chart's entry to look at."""
    with pytest.raises(IndexationFailed, match=says.replace("[", r"\[").replace("]", r"\]")):
        converted(text)


def test_entries_that_nobody_could_install_are_left_out(tmp_path: Path) -> None:
    """One bad version of a chart does not hide the good ones."""
    file = tmp_path / "index.json"
    versions = [
        {"name": "app", "version": "1.0.0"},
        {"name": "app", "version": "1.1.0", "urls": "app"},
        {"name": "app", "version": "1.2.0", "urls": ["a.tgz"]},
        {"name": "app", "urls": ["a.tgz"]},
    ]
    file.write_text(json.dumps({"apiVersion": "v1", "entries": {"app": versions}}))
    assert [entry.version for entry in entries_of(file, "app") or ()] == ["1.2.0"]


def test_a_large_index_takes_little_memory(tmp_path: Path) -> None:
    """12 MiB are read with less than 8 MiB more memory than the interpreter had: it does not grow with the index."""
    entry = f'  - {{name: app, version: 1.0.0, urls: [x.tgz], description: "{"d" * 850}"}}\n'
    with (tmp_path / "index.yaml").open("w") as file:
        file.write("apiVersion: v1\nentries:\n")
        for number in range(1400):
            file.write(f"  app-{number}:\n{entry * 10}")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom fleetbeat.sources.helm.index import convert\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "source, out = Path(sys.argv[1]).open('rb'), Path(sys.argv[2]).open('wb')\n"
        "print(convert(source, out).versions, peak() - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "index.yaml"), str(tmp_path / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    versions, grown = (int(number) for number in done.stdout.split())
    assert (tmp_path / "index.yaml").stat().st_size > 12 << 20
    assert versions == 14_000
    assert grown < 8 * 1024


def test_what_was_counted_is_told() -> None:
    """Charts and versions."""
    assert convert(BytesIO(GOOD.encode()), BytesIO()) == Counted(1, 1)
