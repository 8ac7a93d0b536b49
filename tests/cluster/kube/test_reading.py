"""One object read in every way there is has one fingerprint, built-in and custom kinds alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube import metadata as module
from fleetbeat.kube.metadata import Live, list_metadata
from fleetbeat.kube.watch import Watch, WatchEvent, session
from tests.support.managed import Managed, Object

pytestmark = pytest.mark.cluster


def objects(managed: Managed) -> list[Object]:
    meta = {"name": "sample", "namespace": managed.namespace}
    ports = [{"port": 9, "name": "<&>"}, {"port": 80}, {"port": 8080}]
    pod = {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": p} for p in (9, 80, 8080)]}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a.b": "<&>"}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
        },
        {"apiVersion": "kube.test/v1", "kind": "Gadget", "metadata": meta, "spec": {"ports": ports, "list": ["a"]}},
    ]


def watched(managed: Managed, path: str) -> Live:
    """The first object that a metadata-only watch of `path` lists, then sees as we modified it."""
    seen: list[Live] = []

    async def scenario() -> None:
        done = asyncio.Event()

        async def on_list(items: list[Any]) -> None:
            seen.append(Live.of(items[0].metadata))
            patch = {"metadata": {"annotations": {"touched": "yes"}}}
            await asyncio.to_thread(managed.client.patch, f"{path}/sample", patch)

        async def on_event(event: WatchEvent) -> None:
            live = Live.of(event.object.metadata)
            if "touched" in live.annotations:  # controllers write as well
                seen.append(live)
                done.set()

        async with session(managed.client.config) as opened:
            task = asyncio.create_task(Watch(opened, path, on_list, on_event, metadata_only=True).run())
            async with asyncio.timeout(60):
                await done.wait()
            task.cancel()

    asyncio.run(scenario())
    return seen[-1]


@pytest.mark.parametrize("index", range(3), ids=["ConfigMap", "Deployment", "Gadget"])
def test_apply_get_list_and_watch_agree(managed: Managed, index: int) -> None:
    """What apply recorded is what a sweep lists and the observer watches."""
    obj = objects(managed)[index]
    managed.one(obj)
    oid, resource = ObjectId.of(obj), managed.resource(obj)
    assert managed.metadata(obj).fingerprint == managed.entry(obj).fingerprint
    assert (
        list_metadata(managed.target, resource, "", managed.namespace)[oid].fingerprint
        == managed.entry(obj).fingerprint
    )
    live = watched(managed, resource.path(managed.namespace))
    assert live.fingerprint == managed.metadata(obj).fingerprint
    assert live.fingerprint != managed.entry(obj).fingerprint


def test_long_lists_come_in_pages(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list longer than a page is complete."""
    monkeypatch.setattr(module, "PAGE", 3)
    meta = {"namespace": managed.namespace}
    many = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": f"c{i}"}} for i in range(7)]
    managed.apply(*many)
    selector = f"kustomize.toolkit.fluxcd.io/namespace={managed.namespace}"
    listed = list_metadata(managed.target, managed.resource(many[0]), selector)
    assert {oid.name for oid in listed} == {f"c{i}" for i in range(7)}
