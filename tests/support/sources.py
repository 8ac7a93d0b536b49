"""Runs and sweeps of GitRepositories in the test's process; the test plays registrar and beat."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from itertools import count
from typing import Any

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.artifacts.store import Source
from fleetbeat.errors import FleetbeatError
from fleetbeat.hub.records import record_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import gitrepository, sourcesweep
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.run import execute
from fleetbeat.state import REGISTRAR, State
from fleetbeat.state.shards import SOURCE
from tests.support.wait import until


class Sources:
    """GitRepositories of one namespace, due every second."""

    def __init__(self, ctx: Context, client: KubeClient, namespace: str) -> None:
        self.ctx, self.client, self.namespace = ctx, client, namespace
        self.state: State = ctx.state
        self.objects: dict[str, dict[str, Any]] = {}
        self._versions = count(10)
        fence = self.state.acquire(REGISTRAR, "test", 600)
        assert fence is not None
        self._fence = fence
        self.state.begin_epoch(fence)
        self.state.commit_epoch(fence)

    def ref(self, name: str) -> str:
        """The ref of a GitRepository."""
        return f"GitRepository/{self.namespace}/{name}"

    def put(self, name: str, url: str, **spec: Any) -> None:
        """A GitRepository of branch main as the registrar sees it; `spec` overrides its fields."""
        meta = {"name": name, "namespace": self.namespace, "uid": f"uid-{name}", "generation": 1, "annotations": {}}
        base = {"url": url, "interval": "1s", "ref": {"branch": "main"}}
        self.objects[name] = {"metadata": meta, "spec": base | spec}
        self.register(name)

    def register(self, name: str) -> None:
        """The registrar saw it (again)."""
        obj = self.objects[name]
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.state.register([record_of(KINDS["GitRepository"], obj)], self._fence)

    def request(self, name: str) -> str:
        """What `flux reconcile` does; returns the token."""
        token = f"token-{next(self._versions)}"
        self.objects[name]["metadata"]["annotations"][REQUESTED_AT] = token
        self.register(name)
        return token

    def secret(self, name: str, **data: str) -> None:
        """Write a Secret on the hub."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
        self.client.apply(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", obj, "user")

    def sweep(self) -> sourcesweep.Polled:
        """Wait until all are due, claim one sweep of all, and nothing else, and carry it out."""
        until(lambda: self._due() == len(self.objects), message="all are due")
        claimed = self.state.claim(SOURCE)
        assert claimed.runs == []
        (found,) = claimed.sweeps
        return sourcesweep.sweep(self.ctx, SOURCE, found.fence, found.refs)

    def _due(self) -> int:
        return next(depth.due for depth in self.state.depths() if depth.shard == SOURCE)

    def run(self) -> dict[str, str]:
        """Run everything that is due on its own; returns name → why. Failures stand in the status."""
        ran = {}
        for run in self.state.claim(SOURCE).runs:
            ran[run.ref.rpartition("/")[2]] = run.why
            with suppress(FleetbeatError):
                execute(self.ctx, gitrepository.PIPELINE, SOURCE, run.ref, run.fence)
        return ran

    def status(self, name: str) -> dict[str, Any]:
        """The stored status."""
        look = self.state.look(self.ref(name))
        assert look is not None
        assert look.status is not None
        found: dict[str, Any] = json.loads(look.status)
        return found

    def ready(self, name: str) -> dict[str, Any]:
        """The condition Ready."""
        return next(c for c in self.status(name)["conditions"] if c["type"] == "Ready")

    def revision(self, name: str) -> str:
        """The revision of the artifact."""
        revision: str = self.status(name)["artifact"]["revision"]
        return revision

    def stored(self, name: str) -> list[str]:
        """The digests of its artifacts in the store, the newest first."""
        records = self.ctx.store.records(Source("GitRepository", self.namespace, name, f"uid-{name}"))
        return [record.digest for record in records]

    def memo(self, name: str, **facts: float) -> None:
        """Change what is remembered of one; with nothing given, forget it."""
        key, ref = f"fb:{{{SOURCE}}}:memo", self.ref(name)
        known = json.loads(self.state.command("HGET", key, ref) or b"{}")
        self.state.command("HSET", key, ref, json.dumps(known | facts if facts else {}))
