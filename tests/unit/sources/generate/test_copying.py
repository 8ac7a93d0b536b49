"""Copy rules, by example: what of the sources ends where in the artifact."""

from __future__ import annotations

import io
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.api.source_extensions import CopyOperation
from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.errors import BuildFailed, InvalidSpec
from fleetbeat.sources.generate import Output, Tree, make
from fleetbeat.sources.generate.globs import alternatives, matches, matches_deep

pytestmark = pytest.mark.unit

FILES = {
    "README.md": "readme",
    "deploy/a.yaml": "a: 1",
    "deploy/b.yaml": "b: 1",
    "deploy/notes.md": "notes",
    "deploy/sub/c.yaml": "c: 1",
    "deploy/sub/testdata/t.yaml": "t: 1",
    "run.sh": "#!/bin/sh",
}


def entry(path: str, content: bytes) -> Entry:
    """A file; scripts are executable."""
    return Entry(path, lambda: content, path.endswith(".sh"))


def tree(files: dict[str, str]) -> Tree:
    """A source."""
    return Tree.of(entry(path, text.encode()) for path, text in files.items())


def packed(files: dict[str, str]) -> bytes:
    """A .tar.gz of them."""
    entries = [entry(path, text.encode()) for path, text in files.items()]
    with closing(write_archive(entries, io.BytesIO())) as archive:
        return archive.file.read()


def rule(source: str, to: str, strategy: str | None = None, exclude: tuple[str, ...] = ()) -> CopyOperation:
    """One rule; `source` without alias is of `@src`."""
    from_ = source if source.startswith("@") else f"@src/{source}"
    kind: Any = strategy
    return CopyOperation(from_=from_, to=f"@artifact/{to}", strategy=kind, exclude=exclude)


def result(tmp_path: Path, *rules: CopyOperation, **sources: Tree) -> dict[str, str]:
    """path → content of what the rules make; directories have none and end in a slash."""
    found: dict[str, str] = {}
    archive = make(Output("out", rules), {"src": tree(FILES), **sources}, tmp_path)
    with closing(archive), tarfile.open(fileobj=archive.file) as tar:
        for member in tar:
            file = tar.extractfile(member)
            found[member.name if file else f"{member.name}/"] = file.read().decode() if file else ""
            assert member.isdir() or bool(member.mode & 0o100) is member.name.endswith(".sh")
    assert list(tmp_path.iterdir()) == []
    return found


def files(found: dict[str, str]) -> set[str]:
    """Without directories."""
    return {path for path in found if not path.endswith("/")}


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        ("deploy/a.yaml", "apps/app.yaml", "apps/app.yaml"),
        ("deploy/a.yaml", "apps/", "apps/a.yaml"),
        ("deploy/a.yaml", "", "a.yaml"),
        ("run.sh", "bin/run.sh", "bin/run.sh"),
        ("deploy", "apps", "apps/deploy/*"),
        ("deploy/", "apps/", "apps/deploy/*"),
        ("deploy/sub", "", "sub/c.yaml sub/testdata/t.yaml"),
        ("./deploy//sub/", "./x/", "x/sub/c.yaml x/sub/testdata/t.yaml"),
        ("deploy/**", "apps/", "apps/*"),
        ("deploy/*", "apps/", "apps/deploy/*"),
        ("deploy/*.yaml", "apps/", "apps/deploy/a.yaml apps/deploy/b.yaml"),
        ("deploy/[a]*", "", "deploy/a.yaml"),
        ("deploy/?.yaml", "", "deploy/a.yaml deploy/b.yaml"),
        ("deploy/s*", "", "deploy/sub/c.yaml deploy/sub/testdata/t.yaml"),
        ("*.md", "docs/", "docs/README.md"),
        ("", "all/", "all/README.md all/run.sh all/deploy/*"),
        ("**", "", "README.md run.sh deploy/*"),
    ],
)
def test_what_goes_where(tmp_path: Path, source: str, to: str, expected: str) -> None:
    """Names as `cp -r` copies them; matches of a pattern below `to`; `dir/**` without `dir`. `x/*` is all of deploy."""
    inner = [path.removeprefix("deploy/") for path in FILES if path.startswith("deploy/")]
    wanted: set[str] = set()
    for one in expected.split():
        wanted |= {one[:-1] + path for path in inner} if one.endswith("/*") else {one}
    assert files(result(tmp_path, rule(source, to))) == wanted


@pytest.mark.parametrize(
    ("source", "exclude", "expected"),
    [
        ("deploy/**", ("*.md",), "a.yaml b.yaml sub/c.yaml sub/testdata/t.yaml"),
        ("deploy/**", ("**/testdata/**",), "a.yaml b.yaml notes.md sub/c.yaml"),
        ("deploy/**", ("sub",), "a.yaml b.yaml notes.md"),
        ("deploy/**", ("sub/*.yaml",), "a.yaml b.yaml notes.md sub/testdata/t.yaml"),
        ("deploy/**", ("deploy/sub/**",), "a.yaml b.yaml notes.md"),
        ("deploy/**", ("{a,b}.yaml", "*.md"), "sub/c.yaml sub/testdata/t.yaml"),
    ],
)
def test_what_is_left_out(tmp_path: Path, source: str, exclude: tuple[str, ...], expected: str) -> None:
    """By the whole path, by the path below the rule's directory, and by the name alone where there is no slash."""
    assert files(result(tmp_path, rule(source, "", exclude=exclude))) == set(expected.split())


def test_a_file_goes_into_a_directory_that_is_there(tmp_path: Path) -> None:
    """Also without a slash at the end."""
    found = result(tmp_path, rule("deploy/sub/**", "x/"), rule("run.sh", "x"))
    assert "x/run.sh" in found


def test_later_rules_replace_files_of_earlier_ones(tmp_path: Path) -> None:
    """Strategy Overwrite, the default."""
    found = result(tmp_path, rule("deploy/a.yaml", "x.yaml"), rule("deploy/b.yaml", "x.yaml", "Overwrite"))
    assert found == {"x.yaml": "b: 1"}


def test_yaml_is_merged_deeply(tmp_path: Path) -> None:
    """Maps key by key, lists replaced, where there is a file already; else it is copied."""
    base = tree({"values.yaml": "a: {x: 1, y: [1, 2]}\nkeep: yes\n", "only.yaml": "o: 1"})
    over = tree({"values.yaml": "a: {y: [3], z: 2020-01-01}\n"})
    rules = (rule("@base/**", ""), rule("@over/values.yaml", "values.yaml", "Merge"))
    found = result(tmp_path, *rules, rule("@base/only.yaml", "new.yaml", "Merge"), base=base, over=over)
    assert yaml.safe_load(found["values.yaml"])["a"]["y"] == [3]
    assert "keep: yes" in found["values.yaml"]
    assert "2020-01-01" in found["values.yaml"]
    assert found["new.yaml"] == "o: 1"


def test_archives_are_extracted(tmp_path: Path) -> None:
    """One by name, or all that a pattern finds at any depth; files that are no archives are left out."""
    chart = packed({"app/Chart.yaml": "name: app", "app/run.sh": "x"})
    source = Tree.of([entry("charts/app-1.0.tgz", chart), entry("charts/x/y.tar.gz", chart), entry("n.txt", b"n")])
    assert result(tmp_path, rule("@zip/charts/app-1.0.tgz", "c/", "Extract"), zip=source) == {
        "c/": "",
        "c/app/": "",
        "c/app/Chart.yaml": "name: app",
        "c/app/run.sh": "x",
    }
    assert files(result(tmp_path, rule("@zip/**/*", "", "Extract"), zip=source)) == {"app/Chart.yaml", "app/run.sh"}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([rule("none", "")], "no file or directory 'none'"),
        ([rule("*.none", "")], "nothing in the source matches"),
        ([rule("*.md", "", exclude=("*",))], "is excluded"),
        ([rule("run.sh", "../x")], "leaves its root"),
        ([rule("../x", "")], "leaves its root"),
        ([rule("run.sh", "a"), rule("run.sh", "a/b")], "is a file of the artifact"),
        ([rule("deploy/sub", ""), rule("deploy/**", ""), rule("*.md", "deploy/sub")], ""),
        ([rule("run.sh", "", "Extract")], "not a .tar.gz"),
        ([rule("deploy", "", "Extract")], "is a directory"),
        ([rule("@bad/x.tgz", "", "Extract")], "damaged"),
        ([rule("@bad/up.tgz", "", "Extract")], "unsafe path"),
        ([rule("@bad/x.yaml", "v"), rule("@bad/list.yaml", "v", "Merge")], "not a mapping"),
        ([rule("run.sh", "", exclude=("run.sh",))], "would be empty"),
    ],
)
def test_what_cannot_be_copied_is_said(tmp_path: Path, rules: list[CopyOperation], message: str) -> None:
    """With the rule and the path."""
    up = io.BytesIO()
    with tarfile.open(fileobj=up, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../up"))
    content = {"x.tgz": b"no archive", "up.tgz": up.getvalue(), "x.yaml": b"a: 1", "list.yaml": b"- 1"}
    bad = Tree.of(entry(path, data) for path, data in content.items())
    if not message:
        result(tmp_path, *rules, bad=bad)
        return
    with pytest.raises(BuildFailed) as caught:
        result(tmp_path, *rules, bad=bad)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/**", "a/b a/b/c a", "b ab/c"),
        ("**/x", "x a/x a/b/x", "x/a ax"),
        ("**/x/**", "x a/x/b x/b", "y"),
        ("a/{b,c{d,e}}/f", "a/b/f a/cd/f a/ce/f", "a/c/f a/d/f"),
        ("*.{yaml,yml}", "a.yaml a.yml", "a.json a/b.yaml"),
        ("[^a]b\\*", "bb*", "ab* bbx"),
    ],
)
def test_deep_patterns(pattern: str, yes: str, no: str) -> None:
    """`**` for any number of directories, groups for either."""
    assert [path for path in yes.split() if not matches_deep(pattern, path)] == []
    assert [path for path in no.split() if matches_deep(pattern, path)] == []
    assert not matches("a/**", "a/b/c")


def test_patterns_are_bounded() -> None:
    """A few characters must not unfold to thousands of patterns, nor take minutes to match."""
    with pytest.raises(InvalidSpec, match="alternatives"):
        alternatives("{a,b}" * 20)
    assert not matches_deep("**/" * 200 + "x", "a/" * 200 + "y")
    assert not matches("*a" * 100 + "b", "a" * 5000)
