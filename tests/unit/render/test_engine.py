"""The child's life: deadlines, deaths, many threads."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine, UnparsableText
from fleetbeat.render.kustomize import render
from tests.support.wait import until
from tests.unit.render.conftest import Pack, read_objects

pytestmark = pytest.mark.unit

CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%s}\n---\n"
SMALL = {"a.yaml": CM % ""}
SLOW = {"a.yaml": "".join(CM % n for n in range(6000)), "kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n"}


def pid(engine: Engine) -> int:
    """Process id of the child that the next request would go to."""
    return engine._shared_child()._process.pid


def test_a_slow_build_ends_at_its_deadline(engine_binary: Path, pack: Pack) -> None:
    """The caller gets its error in time, the build's processor time ends soon after, and other builds go on."""
    with Engine(engine_binary) as engine:
        first, slow, small = pid(engine), pack(SLOW), pack(SMALL)
        started = time.monotonic()
        with pytest.raises(BuildFailed, match=r"did not end within 0\.3 s"):
            render(engine, *slow, {}, timeout=0.3)
        assert time.monotonic() - started < 3
        assert render(engine, *small, {}).objects
        until(lambda: pid(engine) != first, timeout=30, message="a child whose build cannot be stopped gives up")
        assert render(engine, *small, {}).objects


def test_a_dead_child_is_replaced(engine_binary: Path, pack: Pack) -> None:
    """A request that meets a dying child is answered by another one."""
    with Engine(engine_binary) as engine:
        artifact = pack(SMALL)
        for _ in range(3):
            os.kill(pid(engine), signal.SIGKILL)
            assert render(engine, *artifact, {}).objects


def test_a_stopped_child_is_killed(engine_binary: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does not answer at all costs one failed build."""
    monkeypatch.setattr("fleetbeat.render.engine.ANSWER_GRACE", 0.2)
    with Engine(engine_binary) as engine:
        artifact = pack(SMALL)
        os.kill(pid(engine), signal.SIGSTOP)
        with pytest.raises(BuildFailed, match="the render engine was killed: it did not answer in time"):
            render(engine, *artifact, {}, timeout=0.2)
        assert render(engine, *artifact, {}).objects


def test_a_closed_engine_leaves_no_process(engine_binary: Path) -> None:
    """close() ends the child and reaps it."""
    engine = Engine(engine_binary)
    child = pid(engine)
    engine.close()
    assert not Path(f"/proc/{child}").exists()


def test_many_threads_share_a_child(engine_binary: Path, pack: Pack) -> None:
    """Answers reach who asked, builds with a schema of their own among the others."""
    artifacts = [
        pack({"a.yaml": CM % n, "s.json": "{}", "kustomization.yaml": "resources: [a.yaml]\n" + schema})
        for n in range(6)
        for schema in ("", "openapi: {path: s.json}\nnamespace: x\n" if n == 0 else "namespace: x\n")
    ]
    with Engine(engine_binary) as engine, ThreadPoolExecutor(8) as pool:
        rendered = list(pool.map(lambda artifact: render(engine, *artifact, {}), artifacts * 10))
    names = [one.objects[0]["metadata"]["name"] for one in rendered]
    assert names == [f"a{n}" for n in range(6) for _ in range(2)] * 10


def test_a_missing_program_is_named(tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where it was looked for and how to get it."""
    monkeypatch.setenv("FLEETBEAT_ENGINE", str(tmp_path / "nothing"))
    with Engine() as engine, pytest.raises(BuildFailed, match=r"nothing; run `make engine` or set FLEETBEAT_ENGINE"):
        render(engine, *pack(SMALL), {})


def test_parse_reads_yaml_as_kubernetes_does(engine: Engine) -> None:
    """Scalars, several documents, lists and empty documents are read as kubectl reads them."""
    text = (
        "# first\n---\n---\n"
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: "1", b: |\n    x\n    ---y\n  }\n---\n'
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: e/v1, kind: T, metadata: {name: two}, spec: {a: yes, b: 010, c: 1e3, d: 1.50, e: ~, f: 0x10}}\n"
        "- {apiVersion: v1, kind: ServiceAccount, metadata: {name: three}}\n"
    ).replace('{a: "1", b: |\n    x\n    ---y\n  }', '\n  a: "1"\n  b: |\n    x\n    ---y')
    assert engine.parse([text]) == [read_objects(text)]


def test_parse_says_which_text_is_broken(engine: Engine) -> None:
    """The position of the text is in the error."""
    with pytest.raises(UnparsableText, match="yaml: ") as failure:
        engine.parse(["a: b", "a: [b"])
    assert failure.value.index == 1
