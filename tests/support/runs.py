"""Runs of sources of any kind in the test's process; the test plays registrar and beat."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from contextlib import closing, suppress
from itertools import count
from typing import Any

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import FENCE_KEY, REQUESTED_AT
from fleetbeat.artifacts import record
from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.artifacts.store import Source
from fleetbeat.errors import FleetbeatError
from fleetbeat.hub.records import record_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.run import Pipeline, execute
from fleetbeat.state import REGISTRAR, State
from fleetbeat.state.reasons import artifact_reason
from fleetbeat.state.shards import SOURCE


class Runs:
    """Sources of one namespace. A name is that of an object of whatever kind was put under it."""

    def __init__(self, ctx: Context, client: KubeClient, namespace: str, pipelines: Mapping[str, Pipeline]) -> None:
        """pipelines: what a run of each kind does."""
        self.ctx, self.client, self.namespace = ctx, client, namespace
        self.state: State = ctx.state
        self.objects: dict[str, dict[str, Any]] = {}
        self._pipelines = pipelines
        self._versions = count(10)
        fence = self.state.acquire(REGISTRAR, "test", 600)
        assert fence is not None
        self.fence = fence
        self.state.begin_epoch(fence)
        self.state.commit_epoch(fence)

    def ref(self, name: str) -> str:
        """The ref of an object."""
        return f"{self.objects[name]['kind']}/{self.namespace}/{name}"

    def put(self, kind: str, name: str, **spec: Any) -> None:
        """An object as the registrar sees it; put again, it has a new generation."""
        before = self.objects.get(name)
        generation = before["metadata"]["generation"] + 1 if before else 1
        meta = {"name": name, "namespace": self.namespace, "uid": f"uid-{name}", "generation": generation}
        self.objects[name] = {"kind": kind, "metadata": {**meta, "annotations": {}}, "spec": {"interval": "1h", **spec}}
        self._register(name)

    def _register(self, name: str) -> None:
        obj = self.objects[name]
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.state.register([record_of(KINDS[obj["kind"]], obj)], self.fence)

    def mirror(self, kind: str, name: str) -> dict[str, Any]:
        """Register an object as the hub has it; returns it."""
        live = self.client.get(KINDS[kind].path(self.namespace, name))
        live["metadata"].setdefault("annotations", {})
        self.objects[name] = live | {"kind": kind}
        self._register(name)
        return live

    def publish(self, kind: str, name: str, revision: str, files: Mapping[str, str], **metadata: str) -> None:
        """A source that is not otherwise there has a new artifact; its dependents are poked."""
        source = Source(kind, self.namespace, name, f"uid-{name}")
        entries = [Entry(path, text.encode().strip) for path, text in files.items()]
        with closing(write_archive(entries, io.BytesIO())) as archive:
            filename = f"{revision.rpartition(':')[2]}.tar.gz"
            self.ctx.store.put(source, filename, archive.file, archive.digest, archive.size)
            artifact = {
                "path": f"{source.path}/{filename}",
                "url": f"http://artifacts/{source.path}/{filename}",
                "revision": revision,
                "digest": archive.digest,
                "lastUpdateTime": "2026-01-01T00:00:00Z",
                "metadata": {**metadata, FENCE_KEY: str(next(self._versions))},
            }
        ref = f"{kind}/{self.namespace}/{name}"
        self.state.publish_artifact(ref, record.encode(self.ctx.store, source, artifact))
        self.state.poke_dependents(ref, artifact_reason(ref), urgent=True)

    def annotate(self, name: str, **annotations: str) -> None:
        """Set annotations; `__` stands for a slash and `_` for a dot."""
        named = {key.replace("__", "/").replace("_", "."): value for key, value in annotations.items()}
        self.objects[name]["metadata"]["annotations"] |= named
        self._register(name)

    def request(self, name: str) -> str:
        """What `flux reconcile` does; returns the token."""
        token = f"token-{next(self._versions)}"
        self.objects[name]["metadata"]["annotations"][REQUESTED_AT] = token
        self._register(name)
        return token

    def delete(self, name: str) -> None:
        """Its finalizer holds it."""
        self.objects[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self._register(name)

    def secret(self, name: str, **data: str) -> None:
        """Write a Secret on the hub; `_` in a key stands for a dot, unless the key has one."""
        named = {key if "." in key else key.replace("_", "."): value for key, value in data.items()}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in named.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
        self.client.apply(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", obj, "user")

    def run(self) -> dict[str, str]:
        """Run everything that is due; returns name → why. Failures stand in the status."""
        ran = {}
        for run in self.state.claim(SOURCE).runs:
            kind, _, name = run.ref.split("/")
            ran[name] = run.why
            with suppress(FleetbeatError):
                execute(self.ctx, self._pipelines[kind], SOURCE, run.ref, run.fence)
        return ran

    def again(self, name: str) -> None:
        """One more run of an object, and of nothing else."""
        self.state.poke([self.ref(name)], "again", urgent=True)
        assert self.run() == {name: "again"}

    def status(self, name: str) -> dict[str, Any]:
        """The stored status."""
        look = self.state.look(self.ref(name))
        assert look is not None
        found: dict[str, Any] = json.loads(look.status or b"{}")
        return found

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """One condition; empty when it is not there."""
        return next((c for c in self.status(name).get("conditions") or [] if c["type"] == kind), {})

    def failure(self, name: str) -> tuple[str, str]:
        """Reason and message of a Ready condition that is False."""
        ready = self.condition(name)
        assert ready.get("status") == "False", ready
        return ready["reason"], ready["message"]

    def published(self, name: str) -> dict[str, Any]:
        """What consumers are told."""
        found: dict[str, Any] = json.loads(self.state.artifact(self.ref(name)) or b"{}")
        return found

    def stored(self, name: str) -> list[str]:
        """The digests of its artifacts in the store, the newest first."""
        kind = self.objects[name]["kind"]
        records = self.ctx.store.records(Source(kind, self.namespace, name, f"uid-{name}"))
        return [record.digest for record in records]

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of all events so far."""
        told = [json.loads(event.data) for event in self.state.events_after(limit=1000)]
        return [(event["reason"], event["message"]) for event in told]
