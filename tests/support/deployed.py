"""Runs and sweeps of Kustomizations in the test's process; the test plays registrar, source and beat."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from contextlib import closing, suppress
from itertools import count
from typing import Any

from fleetbeat.api.kinds import KINDS
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.artifacts.archive import Entry, write_archive
from fleetbeat.artifacts.store import Source
from fleetbeat.errors import FleetbeatError
from fleetbeat.hub.records import record_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import kustomization
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.healthsweep import look_at_health
from fleetbeat.reconcile.run import execute
from fleetbeat.reconcile.sweep import Swept, sweep
from fleetbeat.state import REGISTRAR, Claimed, Inspection, Run, State, Sweep
from fleetbeat.state.reasons import HEALTH
from fleetbeat.state.shards import APPLY, shard_of
from tests.support.wait import until

HUB_SHARD = shard_of("Kustomization", "hub")


class Deployed:
    """Kustomizations of one source on the hub, whose clock is the test."""

    def __init__(self, ctx: Context, client: KubeClient, namespace: str) -> None:
        self.ctx, self.client, self.namespace = ctx, client, namespace
        self.state: State = ctx.state
        self._versions = count(10)
        self._objects: dict[str, dict[str, Any]] = {}
        fence = self.state.acquire(REGISTRAR, "test", 600)
        assert fence is not None
        self._fence = fence
        self.state.begin_epoch(fence)
        self.state.commit_epoch(fence)

    def ref(self, name: str) -> str:
        """The ref of a Kustomization."""
        return f"Kustomization/{self.namespace}/{name}"

    def publish(self, revision: str, files: Mapping[str, str], origin: str = "") -> None:
        """The source has a new artifact, made from `origin` upstream; nobody is told."""
        source = Source("GitRepository", self.namespace, "repo", "uid-repo")
        entries = [Entry(path, text.encode().strip) for path, text in files.items()]
        with closing(write_archive(entries, io.BytesIO())) as archive:
            filename = f"{revision}.tar.gz"
            self.ctx.store.put(source, filename, archive.file, archive.digest, archive.size)
            record = {
                "revision": revision,
                "digest": archive.digest,
                "key": self.ctx.store.key(source, filename, archive.digest),
                "fence": next(self._versions),
                "uid": "uid-repo",
                "metadata": {"org.opencontainers.image.revision": origin} if origin else {},
            }
        self.state.publish_artifact(f"GitRepository/{self.namespace}/repo", json.dumps(record).encode())

    def put(self, name: str, **spec: Any) -> None:
        """A Kustomization of path `./<name>` as the registrar sees it; `spec` overrides its fields."""
        base = {"interval": "1h", "prune": True, "path": f"./{name}"}
        source = {"sourceRef": {"kind": "GitRepository", "name": "repo"}}
        meta = {"name": name, "namespace": self.namespace, "uid": f"uid-{name}", "generation": 1, "annotations": {}}
        self._objects[name] = {"metadata": meta, "spec": {**base, **source, **spec}}
        self._register(name)

    def edit(self, name: str, **spec: Any) -> None:
        """A new generation."""
        obj = self._objects[name]
        obj["metadata"]["generation"] += 1
        obj["spec"] |= spec
        self._register(name)

    def request(self, *names: str) -> str:
        """What `flux reconcile` does, to each; returns the token."""
        token = f"token-{next(self._versions)}"
        for name in names:
            self._objects[name]["metadata"]["annotations"][REQUESTED_AT] = token
            self._register(name)
        return token

    def annotate(self, name: str, **annotations: str) -> None:
        """Set annotations of our own group; `_` stands for a dash."""
        named = {f"fleetbeat.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self._objects[name]["metadata"]["annotations"] |= named
        self._register(name)

    def delete(self, name: str) -> None:
        """A person deletes it; its finalizer holds it."""
        self._objects[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self._register(name)

    def finalized(self, name: str) -> bool:
        """Whether nothing keeps a deleted one any more."""
        return "$finalized" in self.status(name)

    def _register(self, name: str) -> None:
        obj = self._objects[name]
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        self.state.register([record_of(KINDS["Kustomization"], obj)], self._fence)

    def claim(self) -> Claimed:
        """What beat would publish now."""
        return self.state.claim(HUB_SHARD)

    def sweep(self) -> Swept:
        """Claim one sweep, after the pause that another may have left, and nothing else, and carry it out."""

        def claim() -> list[Sweep]:
            claimed = self.claim()
            assert claimed.runs == []
            return claimed.sweeps

        (found,) = until(claim, message="a sweep")
        return self.look(found)

    def look(self, found: Sweep) -> Swept:
        """Carry a sweep out."""
        return sweep(self.ctx, HUB_SHARD, found.cluster, found.fence, found.refs, found.why)

    def run(self, run: Run, shard: str = HUB_SHARD) -> None:
        """Carry a run out."""
        execute(self.ctx, kustomization.PIPELINE, shard, run.ref, run.fence)

    def run_due(self) -> dict[str, str]:
        """Run everything that is due, on whichever cluster; returns name → why. Failures stand in the status.

        Looks at health that are due are made as well; other sweeps are not.
        """
        ran = {}
        for shard in APPLY:
            claimed = self.state.claim(shard)
            for run in claimed.runs:
                ran[run.ref.rpartition("/")[2]] = run.why
                with suppress(FleetbeatError):
                    self.run(run, shard)
            for found in claimed.sweeps:
                if found.why == HEALTH:
                    ran |= {ref.rpartition("/")[2]: HEALTH for ref in found.refs}
                    look_at_health(self.ctx, shard, found.cluster, found.fence, found.refs)
        return ran

    def again(self, name: str) -> dict[str, Any]:
        """One whole run of one; returns its Ready condition."""
        self.state.poke([self.ref(name)], "again", urgent=True)
        assert name in self.run_due()
        return self.condition(name)

    def run_until_ready(self, name: str, generation: int = 1) -> None:
        """Run what is due until one is Ready at a generation."""

        def ready() -> bool:
            self.run_due()
            condition = self.condition(name)
            return condition["status"] == "True" and condition["observedGeneration"] == generation

        until(ready, message=f"{name} is Ready")

    def secret(self, name: str, **data: str) -> None:
        """A Secret on the hub."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
        self.client.apply(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", obj, "user")

    def shard(self, name: str) -> str:
        """Where its runs are claimed."""
        return self._seen(name).shard

    def due_in(self, name: str) -> float:
        """Seconds until its next run."""
        seen = self._seen(name)
        assert seen.due is not None
        return (seen.due - seen.now) / 1000

    def expire_leases(self) -> None:
        """Nobody renews the leases of runs that are under way: they end now."""
        for shard in APPLY:
            for ref in self.state.command("ZRANGE", f"fb:{{{shard}}}:lease", 0, -1):
                self.state.command("ZADD", f"fb:{{{shard}}}:lease", 0, ref)
            for cluster in self.state.command("ZRANGE", f"fb:{{{shard}}}:front", 0, -1):
                due = f"fb:{{{shard}}}:due:{cluster.decode()}"
                for ref in self.state.command("ZRANGE", due, 0, -1):
                    self.state.command("ZADD", due, 0, ref)
                self.state.command("ZADD", f"fb:{{{shard}}}:front", 0, cluster)

    def _seen(self, name: str) -> Inspection:
        seen = self.state.inspect(self.ref(name))
        assert seen is not None
        return seen

    def settle(self) -> None:
        """Run what is due until everything is Ready, and let nobody remember how."""

        def ready() -> bool:
            self.run_due()
            return all(self.condition(name)["status"] == "True" for name in self._objects)

        until(ready, message="all are Ready")
        self.forget()

    def forget(self) -> None:
        """The reporter and notifications are through with everything."""
        self.state.ack((c.shard, c.ref, c.seq) for c in self.state.changed(1000))
        self.state.command("DEL", "fb:events")

    def status(self, name: str) -> dict[str, Any]:
        """As last finished or answered."""
        found = self.state.look(self.ref(name))
        assert found is not None
        return dict(json.loads(found.status or b"{}"))

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """A condition; with an Unknown status when it is not there."""
        conditions = self.status(name).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {"status": "Unknown"})

    def events(self) -> list[dict[str, Any]]:
        """Since `forget`."""
        return [json.loads(event.data) for event in self.state.events_after(limit=1000)]
