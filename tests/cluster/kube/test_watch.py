"""Watches on a real API server, through restarts and expired versions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fleetbeat.kube import watch as module
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.watch import Watch, WatchEvent, session
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster


@dataclass
class Seen:
    """What a watch told."""

    lists: list[list[Any]] = field(default_factory=list)
    events: list[WatchEvent] = field(default_factory=list)
    errors: list[KubeError] = field(default_factory=list)

    async def on_list(self, items: list[Any]) -> None:
        self.lists.append(items)

    async def on_event(self, event: WatchEvent) -> None:
        self.events.append(event)

    def names(self) -> list[tuple[str, str]]:
        """(type, name) of every event."""
        return [(event.type, _name(event.object)) for event in self.events]


def _name(obj: Any) -> str:
    return str(obj["metadata"]["name"] if isinstance(obj, dict) else obj.metadata.name)


async def eventually(predicate: Callable[[], Any]) -> None:
    """Poll without blocking the loop."""
    async with asyncio.timeout(60):
        while not predicate():  # noqa: ASYNC110 - the condition is not ours to signal
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(cluster: Cluster, path: str, **options: Any) -> AsyncIterator[tuple[Watch, Seen]]:
    seen = Seen()
    config = ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True)
    async with session(config) as opened:
        watch = Watch(opened, path, seen.on_list, seen.on_event, on_error=seen.errors.append, **options)
        task = asyncio.create_task(watch.run())
        try:
            await eventually(lambda: seen.lists)
            yield watch, seen
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


def collection(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def create(client: KubeClient, namespace: str, name: str, labels: dict[str, str] | None = None) -> None:
    obj = {"metadata": {"name": name, "labels": labels or {}}}
    await asyncio.to_thread(client.create, collection(namespace), obj)


@pytest.mark.parametrize("metadata_only", [False, True])
def test_list_then_events(cluster: Cluster, client: KubeClient, namespace: str, metadata_only: bool) -> None:
    """The complete list first, then every change that the selector matches, whole or as metadata."""

    async def scenario() -> None:
        await create(client, namespace, "before", {"watched": "yes"})
        options = {"metadata_only": metadata_only, "label_selector": "watched=yes"}
        async with watching(cluster, collection(namespace), **options) as (watch, seen):
            assert [_name(item) for item in seen.lists[0]] == ["before"]
            await create(client, namespace, "ignored")
            await create(client, namespace, "after", {"watched": "yes"})
            await asyncio.to_thread(client.patch, f"{collection(namespace)}/before", {"data": {"a": "b"}})
            await asyncio.to_thread(client.delete, f"{collection(namespace)}/before")
            await eventually(lambda: len(seen.events) >= 3)
            assert seen.names() == [("ADDED", "after"), ("MODIFIED", "before"), ("DELETED", "before")]
            assert watch.live
            assert not seen.errors

    asyncio.run(scenario())


def test_rounds_resume_without_a_new_list(
    cluster: Cluster, client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a request ends by its own timeout, the next goes on from the last version."""
    monkeypatch.setattr(module, "ROUND", 1.5)

    async def scenario() -> None:
        async with watching(cluster, collection(namespace)) as (_, seen):
            for number in range(6):
                await create(client, namespace, f"c{number}")
                await asyncio.sleep(0.5)  # spreads the events over several rounds
            await eventually(lambda: len(seen.events) >= 6)
            assert [name for _, name in seen.names()] == [f"c{number}" for number in range(6)]
            assert len(seen.lists) == 1

    asyncio.run(scenario())


def test_restarts_of_the_api_server_are_survived(namespace: str, cluster: Cluster, client: KubeClient) -> None:
    """With the API server gone the watch keeps trying and says so; when it is back, events flow again."""

    async def scenario() -> None:
        async with watching(cluster, collection(namespace)) as (_, seen):
            await asyncio.to_thread(cluster.kill)
            await eventually(lambda: seen.errors)
            assert "cannot be reached" in seen.errors[0].message
            await asyncio.to_thread(cluster.start)
            await create(client, namespace, "after")
            await eventually(lambda: ("ADDED", "after") in seen.names() or len(seen.lists) > 1)

    asyncio.run(scenario())


def test_refusals_are_told_and_tried_again(cluster: Cluster, namespace: str) -> None:
    """A forbidden collection does not end the watch; it is reported with the API server's words."""

    async def scenario() -> None:
        seen = Seen()
        config = ClusterConfig.from_kubeconfig(cluster.user_kubeconfig("nobody", []), trusted=False)
        async with session(config) as opened:
            watch = Watch(opened, collection(namespace), seen.on_list, seen.on_event, on_error=seen.errors.append)
            task = asyncio.create_task(watch.run())
            await eventually(lambda: len(seen.errors) >= 2)
            assert not watch.live
            assert not task.done()
            task.cancel()
        assert 'User "nobody" cannot list' in seen.errors[0].message

    asyncio.run(scenario())
