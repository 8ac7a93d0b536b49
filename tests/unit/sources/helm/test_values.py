"""Values files merged, with helm itself as the judge of what the result means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fleetbeat.errors import ValuesFilesFailed
from fleetbeat.sources.helm.chart import Chart
from fleetbeat.sources.helm.values import merge_values
from tools.chartserver import helm, write_chart

pytestmark = pytest.mark.unit


def merged(*texts: str) -> str:
    """The merged values.yaml."""
    return merge_values((f"{n}.yaml", text.encode()) for n, text in enumerate(texts)).decode()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("a: {b: 1, c: 2}", "a: {c: 3, d: 4}"), {"a": {"b": 1, "c": 3, "d": 4}}),
        (("a: [1, 2]", "a: [3]"), {"a": [3]}),
        (("a: {b: 1}", "a: text"), {"a": "text"}),
        (("a: text", "a: {b: 1}"), {"a": {"b": 1}}),
        (("a: 1", ""), {"a": 1}),
        (("", "# nothing"), {}),
        (("a: {b: 1}", "a: {b: null}"), {"a": {"b": None}}),
        (("x: &x {b: 1}\na: {<<: *x, c: 2}", "a: {b: 3}"), {"x": {"b": 1}, "a": {"b": 3, "c": 2}}),
    ],
)
def test_maps_are_merged_deep_and_all_else_is_replaced(files: tuple[str, ...], expected: object) -> None:
    """The last file wins."""
    assert yaml.safe_load(merged(*files)) == expected


def test_scalars_stay_as_they_were_written() -> None:
    """What they mean is Helm's to say: octal numbers, dates, yes, quoted numbers, multi-line text."""
    text = "mode: 0644\nday: 2024-01-01\nanswer: yes\nquoted: '1.10'\nversion: 1.10\nbig: 12345678901234567890\n"
    result = merged(text, "other: 1")
    assert [line for line in text.splitlines() if line not in result.splitlines()] == []
    assert yaml.safe_load(merged("text: |\n  one\n  two\n", "")) == {"text": "one\ntwo\n"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "1.yaml: it is not a mapping"),
        ("a: [", "1.yaml: line "),
        ("a: {<<: 7}", "merge key"),
        ("? [1]\n: 2", "key is not text"),
        ("a: &a {b: *a}", "nests deeper|too deep|1.yaml"),
    ],
)
def test_a_malformed_file_is_named(text: str, says: str) -> None:
    """The message begins with the file."""
    with pytest.raises(ValuesFilesFailed, match=says):
        merged("a: {b: {b: {}}}", text, text)


def test_helm_renders_the_merged_chart_as_it_renders_the_files(tmp_path: Path) -> None:
    """A chart with merged values means what `helm template -f` makes of the same files, defaults and nulls included."""
    first = "keep: 1\nmode: 0644\na: {b: 1, c: yes}\nn: 012\nt: 2024-01-01\n"
    source = write_chart(tmp_path / "app", "app", "1.0.0", {"values.yaml": first})
    files = {"two.yaml": "a: {b: null, d: [1e3, '1']}", "three.yaml": "keep: {x: 1.10}\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = [word for name in files for word in ("-f", str(tmp_path / name))]
    expected = helm("template", "x", str(source), *options)
    read = {str(file.relative_to(source)): file.read_bytes() for file in source.rglob("*") if file.is_file()}
    chart = Chart.of(read, "app").with_files({"values.yaml": merged(first, *files.values()).encode()})
    package = tmp_path / "app.tgz"
    with package.open("w+b") as out:
        chart.pack(out)
    rendered = [yaml.safe_load(text)["data"]["values"] for text in (helm("template", "x", str(package)), expected)]
    assert json.loads(rendered[0]) == json.loads(rendered[1])
