"""The grammar of postBuild substitution, row by row, and what it does to objects."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.substitute import merge, substitute
from tests.unit.render.conftest import Pack

pytestmark = pytest.mark.unit

VARIABLES = {"v": "foo.bar.baz", "e": "", "n": "1", "p": "a/b/c", "u": "Ünï", "s": "x*y"}
RECORDED = json.loads(Path(__file__).with_name("data").joinpath("substitution.json").read_text())
"""Rows of text, what Flux makes of it in strict mode and what else; null where that fails."""


@pytest.mark.parametrize("row", RECORDED["rows"], ids=lambda row: row[0])
def test_every_form_of_the_grammar_is_as_with_flux(row: list[str | None]) -> None:
    """Value or failure, strict or not, each form is what Flux's own library made of it."""
    for strict, expected in zip((True, False), row[1:], strict=True):
        if expected is not None:
            assert substitute(str(row[0]), RECORDED["variables"], strict) == expected
            continue
        with pytest.raises(BuildFailed):
            substitute(str(row[0]), RECORDED["variables"], strict)


BASH = [
    "${v}", "${missing:-d}", "${e:-d}", "${v:4}", "${v:4:3}", "${#v}", "${v^}", "${v^^}", "${v#*.}", "${v##*.}",
    "${v%.*}", "${v%%.*}", "${v/a/_}", "${v//a/_}", "${v/#foo/X}", "${v/%baz/X}", "${p##*/}", "${p%%/*}", "${v#f??.}",
    "${missing:-${v}}", "${v/bar/}", "${p//\\//-}", "${v##[a-f]*[a-f]}",
]  # fmt: skip


def test_the_grammar_agrees_with_bash() -> None:
    """Where both have a form, a real shell gives the same value."""
    script = "".join(f"{name}='{value}'\n" for name, value in VARIABLES.items())
    script += "".join(f'printf "%s\\n" "{text}"\n' for text in BASH)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert [substitute(text, VARIABLES) for text in BASH] == done.stdout.splitlines()


@pytest.mark.parametrize("text", ["${missing}", "${#missing}", "${missing^^}", "${missing#x}", "${missing/a/b}"])
def test_undefined_variables_are_errors_only_in_strict_mode(text: str) -> None:
    """Strict names the variable; else it is empty."""
    with pytest.raises(BuildFailed, match=r"undefined in postBuild: \$\{missing\}$"):
        substitute(text, VARIABLES)
    assert substitute(text, VARIABLES, strict=False) in ("", "0")


def test_all_undefined_variables_are_named_at_once() -> None:
    """One run shows all that must be defined."""
    with pytest.raises(BuildFailed, match=r"\$\{a\}, \$\{b\}$"):
        substitute("${a} ${b} ${a} ${v}", VARIABLES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${v-d}", "operator"),
        ("${v+d}", "operator"),
        ("${v?d}", "operator"),
        ("${v.x}", "operator"),
        ("${v", "not closed"),
        ("${", "not begin with a variable name|not closed"),
        ("${}", "does not begin with a variable name"),
        ("${ v}", "does not begin with a variable name"),
        ("${missing:-${v}", "not closed"),
        ("${v:}", "empty offset"),
        ("${v#}", "empty pattern"),
        ("${v//}", "not closed|empty pattern"),
        ("${v/a}", "not closed|no replacement"),
        ("${v^x}", "closing brace"),
        ("${v:1:-1}", "negative"),
        ("${u:1}", "cuts a character"),
        ("${a:-" * 100 + "}" * 100, "nests deeper than 32 levels"),
    ],
)
def test_what_cannot_be_parsed_is_named(text: str, message: str) -> None:
    """The message shows the expression and how to write it literally."""
    with pytest.raises(BuildFailed, match=message) as failure:
        substitute(text, VARIABLES)
    assert "$${…}" in failure.value.message


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("${v##" + "*a" * 200 + "b}", {"v": "a" * 5000}),
        ("${v%%" + "*a" * 200 + "b}", {"v": "a" * 5000}),
        ("${v//a/${v}}", {"v": "a" * 100_000}),
        ("${v}" * 10_000, {"v": "a" * 100_000}),
    ],
    ids=["prefix", "suffix", "replace", "repeat"],
)
def test_no_expression_stalls_a_worker(text: str, variables: dict[str, str]) -> None:
    """Patterns do not backtrack and results do not explode."""
    started = time.monotonic()
    try:
        substitute(text, variables)
    except BuildFailed as failure:
        assert "characters" in failure.message or "pattern" in failure.message
    assert time.monotonic() - started < 20


def test_merge_lets_the_later_win_and_inline_last() -> None:
    """substituteFrom in order, then substitute; newlines are taken from values."""
    merged = merge([{"a": "1", "b": "1\n"}, {"b": "2", "c": "2"}], {"c": "3\n4"})
    assert merged == {"a": "1", "b": "2", "c": "34"}


@pytest.mark.parametrize("name", ["1a", "a-b", "a.b", "", "é", "a b", "a\n"])
def test_merge_refuses_names_that_are_none(name: str) -> None:
    """A key that no expression could name is an error."""
    with pytest.raises(BuildFailed, match=r"variable name .* is invalid"):
        merge([{name: "x"}], {})


CM = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  x: '%s'\n"


def objects(engine: Engine, pack: Pack, manifest: str, variables: dict[str, str], **post: Any) -> list[dict[str, Any]]:
    """Rendered objects of one manifest."""
    return render(engine, *pack({"a.yaml": manifest}), {"postBuild": post}, variables).objects


def test_values_are_read_as_yaml(engine: Engine, pack: Pack) -> None:
    """A value that looks like a number becomes one, unless the value brings quotes."""
    manifest = CM % ("a", "${n}")
    assert objects(engine, pack, manifest, {"n": "1"})[0]["data"] == {"x": 1}
    assert objects(engine, pack, manifest, {"n": '"1"'})[0]["data"] == {"x": "1"}
    assert objects(engine, pack, CM % ("a", "v${n}"), {"n": "1"})[0]["data"] == {"x": "v1"}
    assert objects(engine, pack, CM % ("a", "${n}"), {"n": "{a: [1, true]}"})[0]["data"] == {"x": {"a": [1, True]}}


def test_names_and_namespaces_are_substituted(engine: Engine, pack: Pack) -> None:
    """Every field of the object takes part."""
    assert objects(engine, pack, CM % ("app-${env}", "y"), {"env": "prod"})[0]["metadata"] == {"name": "app-prod"}


def test_without_variables_nothing_is_substituted_unless_always(engine: Engine, pack: Pack) -> None:
    """The default strategy leaves the text alone when there is no variable; Always fills in the defaults."""
    manifest = CM % ("a", "${x:-d}")
    assert objects(engine, pack, manifest, {})[0]["data"] == {"x": "${x:-d}"}
    assert objects(engine, pack, manifest, {}, substituteStrategy="WithVariables")[0]["data"] == {"x": "${x:-d}"}
    assert objects(engine, pack, manifest, {}, substituteStrategy="Always")[0]["data"] == {"x": "d"}


@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize(("value", "expected"), [("disabled", "${x}"), ("Disabled", "z"), ("enabled", "z")])
def test_an_object_can_opt_out(engine: Engine, pack: Pack, field: str, value: str, expected: str) -> None:
    """A label or an annotation keeps substitution off one object."""
    manifest = (CM % ("a", "${x}")).replace(
        "  name: a\n", f"  name: a\n  {field}: {{kustomize.toolkit.fluxcd.io/substitute: {value}}}\n"
    )
    assert objects(engine, pack, manifest, {"x": "z"})[0]["data"] == {"x": expected}


TREE = {
    "base/kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: g, literals: ['x=${c}']}]\n",
    "base/a.yaml": CM % ("a", "${b} ${a}") + "---\n" + CM % ("whole", "${x}"),
    "app/kustomization.yaml": "resources: [../base, b.yaml]\n",
    "app/b.yaml": CM % ("b", "${a:-d} ${b/x"),
}


def test_all_that_is_undefined_in_a_build_is_named_at_once(engine: Engine, pack: Pack) -> None:
    """File, object and variable of every failure, the ways out once, no object that is whole."""
    with pytest.raises(BuildFailed) as failure:
        render(engine, *pack(TREE), {"path": "app"}, {"x": "y"})
    lines = failure.value.message.splitlines()
    assert lines[0] == "ConfigMap/a (base/a.yaml): undefined in postBuild: ${b}, ${a}"
    assert lines[1].startswith("ConfigMap/g-") and "(base/kustomization.yaml): undefined in postBuild: ${c}" in lines[1]
    assert lines[2].startswith("ConfigMap/b (app/b.yaml): the expression '${b/x")
    assert lines[-1].endswith("by the label kustomize.toolkit.fluxcd.io/substitute: disabled")
    assert len(lines) == 3


def test_a_long_list_of_failures_is_counted(engine: Engine, pack: Pack) -> None:
    """A condition has no room for hundreds of objects."""
    many = "---\n".join(CM % (f"a{n}", "${missing}") for n in range(30))
    with pytest.raises(BuildFailed, match=r"\nand 10 more objects; define it") as failure:
        objects(engine, pack, many, {"x": "y"})
    assert len(failure.value.message.splitlines()) == 21


def test_relaxed_an_undefined_variable_is_empty(engine: Engine, pack: Pack) -> None:
    """The setting for those who come from an older Flux."""
    artifact = pack({"a.yaml": CM % ("a", "${missing}")})
    assert render(engine, *artifact, {}, {"x": "y"}, strict=False).objects[0]["data"] == {"x": None}


def test_a_binary_value_fails_only_where_it_is_used() -> None:
    """A Secret may hold a keystore beside the variables."""
    variables = merge([{"store": b"\xfe\xed".decode("utf-8", "surrogateescape"), "a": "b"}], {})
    assert substitute("${a}", variables) == "b"
    with pytest.raises(BuildFailed, match=r"'\$\{store\}' uses store, whose value is not UTF-8 text"):
        substitute("${store}", variables)


def test_broken_yaml_after_substitution_names_the_object_but_no_value(engine: Engine, pack: Pack) -> None:
    """The value may be a secret."""
    broken = [
        "[hunter2",
        "'hunter2",
        "*hunter2",
        "a: hunter2: b",
        "!hunter2 [",
        "%hunter2",
        "!!int `a` hunter2",
        "@hunter2",
    ]
    for value in broken:
        with pytest.raises(
            BuildFailed, match=r"^ConfigMap/a \(a\.yaml\): after substitution it is no valid"
        ) as failure:
            objects(engine, pack, CM % ("a", "${v}"), {"v": value})
        assert "hunter2" not in failure.value.message


def test_a_name_that_became_a_number_is_named(engine: Engine, pack: Pack) -> None:
    """Better here than as a riddle from the API server."""
    with pytest.raises(BuildFailed, match=r"^ConfigMap: metadata\.name is not a string; put quotes around it"):
        objects(engine, pack, CM % ("${n}", "y"), {"n": "1"})
