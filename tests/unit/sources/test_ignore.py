"""Ignore patterns: Git's language, Flux's order and defaults, and no pattern that takes for ever."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from fleetbeat.sources import ignore

pytestmark = pytest.mark.unit


def excluded(patterns: str, path: str) -> bool:
    """By the patterns alone; a path that ends in `/` is a directory."""
    return ignore.Rules(ignore.parse(patterns)).excludes(path)


@pytest.mark.parametrize(
    ("patterns", "out", "stays"),
    [
        ("*.md", "README.md docs/x.md x.md/deep", "README.mdx md"),
        ("/docs", "docs/ docs/x", "a/docs/x docsx"),
        ("docs/", "docs/x a/docs/x", "docs a/docs"),
        ("a/b", "a/b a/b/c", "x/a/b a/bc"),
        ("a/*/c", "a/x/c", "a/c a/x/y/c"),
        ("a/**/c", "a/c a/x/c a/x/y/c a/c/c", "ac b/a/c"),
        ("**/c", "c x/c x/y/c/z", "xc"),
        ("a/**", "a/x a/x/y", "a ab"),
        ("a/**/b/c", "a/b/x/b/c", "a/b/x/c"),
        ("f?o.[ab-d]", "foo.a x/fxo.c", "f/o.a foo.e foo.-"),
        ("[!a]x", "bx", "ax /x"),
        ("*a*b*", "xxaxxbxx ab", "ba"),
        ("\\#x", "#x", "x"),
        ("\\!x", "!x", "x"),
        ("x\\ ", "x ", "x"),
        ("a\\*", "a*", "ab"),
        ("[", "", "[ x"),
        ("# comment\n\n   \n", "", "# comment x"),
        ("trailing   ", "trailing", "x"),
        ("*\n!keep.yaml", "x a/x", "keep.yaml a/keep.yaml"),
        ("/*\n!/deploy\n/deploy/**/*.md", "x x/deploy/y deploy/a.md deploy/b/c.md", "deploy/a.yaml deploy/"),
        ("dir/\n!dir/keep", "dir/x", "dir/keep"),
    ],
)
def test_patterns(patterns: str, out: str, stays: str) -> None:
    """The language, by example; the last match decides, also below an excluded directory."""
    for path in filter(None, [out] if patterns.endswith("\\ ") else out.split(" ")):
        assert excluded(patterns, path), path
    for path in stays.split(" "):
        assert not excluded(patterns, path), path


def test_git_agrees(tmp_path: Path) -> None:
    """Thousands of random patterns and paths, each judged by `git check-ignore` as well."""
    rng = random.Random(7)
    pieces = ["a", "b", "ab", "*", "?", "**", "a*", "*b", "[ab]", "[!a]", "a*b*"]
    names = ["a", "b", "ab", "ba", "aab", "c"]
    paths = sorted({"/".join(rng.choices(names, k=rng.randint(1, 4))) for _ in range(300)})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for _ in range(60):
        glob = "/".join(rng.choices(pieces, k=rng.randint(1, 3)))
        pattern = rng.choice(["", "/"]) + glob + rng.choice(["", "", "/"])
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        answer = subprocess.run(
            ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"],
            input="\n".join(paths),
            capture_output=True,
            text=True,
        )
        theirs = set(answer.stdout.splitlines())
        ours = {path for path in paths if excluded(pattern, path)}
        assert ours == theirs, pattern


@pytest.mark.parametrize("pattern", ["*a" * 200 + "b", "**/a/" * 100 + "b", "*a*a*a/**/*x*y*/z", "?*" * 300 + "z"])
def test_hostile_patterns_are_cheap(pattern: str) -> None:
    """What makes a backtracking matcher run for ever takes milliseconds."""
    begin = time.process_time()
    for path in ("a" * 4000, "a/" * 2000, "a/" * 2000 + "b"):
        excluded(pattern, path)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("custom", "path", "out"),
    [
        (None, "logo.png", True),
        (None, ".github/workflows/x.yaml", True),
        (None, "a/.sops.yaml", True),
        (None, ".gitignore", True),
        (None, "app.yaml", False),
        (None, ".sourceignore", False),
        ("", "logo.png", True),
        ("# nothing\n", "logo.png", True),
        ("*.md", "logo.png", False),
        ("*.md", ".gitignore", True),
        ("!.gitignore", ".gitignore", False),
    ],
)
def test_defaults_vanish_with_the_first_custom_pattern(custom: str | None, path: str, out: bool) -> None:
    """Version-control files always stay out (unless called back); the other defaults only without own patterns."""
    assert ignore.rules(ignore.parse(custom or "")).excludes(path) is out


def test_a_nested_file_speaks_of_its_own_directory() -> None:
    """Patterns of `app/.sourceignore` neither reach beyond `app` nor see its name."""
    rules = ignore.Rules(ignore.parse("/x\n*.md\n!keep.md", "app/"))
    assert [rules.excludes(path) for path in ("x", "app/x", "app/a/x", "a.md", "app/a/b.md", "app/keep.md")] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
