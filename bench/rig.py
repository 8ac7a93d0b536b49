"""What the benchmarks of the whole system stand on: a hub, a Git server, and the cost of Fleetbeat's processes.

Owns no measurement: each benchmark says what it does and what it counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.workload import NAMESPACE
from tools.clusters import Cluster, ClusterSet
from tools.gitserver import GitServer
from workers.cli.connect import Access
from workers.stack import Member, Stack
from workers.up import prepare

APART = ("flower",)
"""Roles whose cost is not Fleetbeat's."""
SETTLED = 8.0
"""Seconds after which the roles of a stack have started."""


class Rig(NamedTuple):
    """A hub with Fleetbeat's API and an account to apply as, and nothing running yet."""

    hub: Cluster
    git: GitServer
    directory: Path

    def stack(self) -> Stack:
        """Fleetbeat's processes, to be started."""
        return Stack(self.directory / "stack", self.hub.kubeconfig)


@contextmanager
def rigged() -> Iterator[Rig]:
    """A rig, torn down afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="fleetbeat-bench-") as directory,
        ClusterSet("hub", audit=True) as clusters,
        GitServer(Path(directory, "git")) as git,
    ):
        hub = clusters["hub"]
        prepare(Access(hub.kubeconfig, None, "flux-system"))
        make_account(hub)
        yield Rig(hub, git, Path(directory))


def make_account(cluster: Cluster) -> None:
    """The namespace and the service account that applies are made as."""
    cluster.create_namespace(NAMESPACE)
    cluster.api("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "applier"}})
    binding = {
        "metadata": {"name": "applier"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "applier", "namespace": NAMESPACE}],
    }
    cluster.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)


def is_ready(item: dict[str, Any], head: str) -> bool:
    """Ready at a commit."""
    status = item.get("status") or {}
    ready = next((c["status"] for c in status.get("conditions") or [] if c["type"] == "Ready"), "")
    return ready == "True" and status.get("lastAppliedRevision", "").endswith(head)


def roles(stack: Stack) -> list[Member]:
    """Fleetbeat's running processes."""
    return [member for member in stack.members.values() if member.server.pid and member.name not in APART]


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and PSS in MiB of a process and its children."""
    parent = psutil.Process(pid)
    family = (parent, *parent.children(recursive=True))
    times = [process.cpu_times() for process in family]
    return sum(t.user + t.system for t in times), sum(p.memory_full_info().pss for p in family) / 2**20


def cpu(stack: Stack) -> float:
    """CPU seconds of Fleetbeat's processes so far."""
    return sum(usage(member.server.pid)[0] for member in roles(stack) if member.server.pid)


def give_up(stack: Stack) -> SystemExit:
    """To be raised: the end of each log says why it takes so long."""
    logs = "\n".join(member.server.tail() for member in stack.members.values())
    return SystemExit(f"not done in time:\n{logs}")
