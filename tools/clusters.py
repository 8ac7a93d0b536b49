"""Real Kubernetes clusters for tests and the demo: one etcd, and an API server with controllers for each cluster.

Owns their processes, certificates, kubeconfigs and folders. Each cluster has its own authority, so credentials of one
are worthless at another. API servers keep address and data over a restart. Where pods must run, `pods=True` adds a
scheduler and kwok, which plays the kubelet of one large node. Nothing listens but on 127.0.0.1.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3
import yaml

from tools import components, kubeconfig, pki
from tools.apiclient import ApiClient
from tools.scratch import Scratch
from workers.embedded import ports
from workers.embedded.process import Server


class Cluster:
    """One API server and its controllers. `kubeconfig` is the administrator's, with all credentials inside."""

    def __init__(self, name: str, directory: Path, etcd: str, *, audit: bool, pods: bool) -> None:
        """Made by ClusterSet; `etcd` is the URL of the etcd shared by all."""
        self.name = name
        self.directory = directory
        self.port = ports.reserve()
        self.url = f"https://127.0.0.1:{self.port}"
        self._authority = pki.Authority(f"{name} authority")
        self._write_credentials()
        self.kubeconfig_data = self.user_kubeconfig("admin", ["system:masters"])
        self.kubeconfig = self._write("kubeconfig", yaml.safe_dump(self.kubeconfig_data, sort_keys=False).encode())
        self._client = ApiClient(self.url, directory / "ca.crt", directory / "admin.crt", directory / "admin.key")
        self._server = components.apiserver(directory, self.port, etcd, audit=audit)
        self._controllers = [components.controller_manager(directory)]
        if pods:
            self._controllers += [components.scheduler(directory), components.kwok(directory)]
        self._pods = pods

    # Life

    def spawn(self) -> None:
        """Start the API server without waiting for it."""
        self._server.start()

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Wait for the API server, start its controllers, and wait for what they make in a new cluster."""
        exists = self._client.exists
        self._server.wait_ready(lambda: exists("/readyz"), timeout)
        self._server.wait_ready(lambda: exists("/api/v1/namespaces/kube-system"), timeout)
        for controller in self._controllers:
            controller.start()
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._controllers[0].wait_ready(lambda: exists(account), timeout)
        if self._pods:
            self._add_node()

    def start(self) -> None:
        """Start the API server on the same address with the same data, and wait until it is ready."""
        self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        """Stop the API server alone; its controllers wait for it."""
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL the API server alone."""
        self._server.kill()

    def shut_down(self) -> None:
        """Stop everything, controllers first."""
        for controller in reversed(self._controllers):
            controller.kill()
        self._server.stop()
        self._client.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of what runs, the API server's first."""
        return [server.pid for server in (self._server, *self._controllers) if server.pid is not None]

    # Use

    def api(self, method: str, path: str, body: Any = None, content_type: str | None = None) -> Any:
        """A request as administrator, see ApiClient.request."""
        return self._client.request(method, path, body, content_type)

    def create_namespace(self, name: str) -> None:
        """Create a namespace and wait until pods and tokens can be made in it."""
        self.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self._controllers[0].wait_ready(lambda: self._client.exists(account))

    def user_kubeconfig(
        self, name: str, groups: Sequence[str] = (), lifetime: datetime.timedelta = pki.YEAR
    ) -> dict[str, Any]:
        """A kubeconfig with a client certificate for any user; a negative `lifetime` gives an expired one."""
        pair = self._authority.client(name, groups, lifetime)
        return self._kubeconfig(name, kubeconfig.certificate(pair))

    def token(self, namespace: str, service_account: str, seconds: int = 3600) -> str:
        """A token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        token: str = self.api("POST", path, {"spec": {"expirationSeconds": seconds}})["status"]["token"]
        return token

    def token_kubeconfig(self, namespace: str, service_account: str) -> dict[str, Any]:
        """A kubeconfig with a token of a service account."""
        return self._kubeconfig(service_account, {"token": self.token(namespace, service_account)})

    def requests(self) -> list[dict[str, Any]]:
        """All requests but the cluster's own components', as audit events, oldest first (`audit=True` only)."""
        lines = (self.directory / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    # Setting up

    def _write_credentials(self) -> None:
        server = self._authority.server("127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1")
        admin = self._authority.client("admin", ["system:masters"])
        component = self.user_kubeconfig(components.COMPONENT_USER, ["system:masters"])
        contents = {
            "ca.crt": self._authority.certificate,
            "server.crt": server.certificate,
            "server.key": server.key,
            "admin.crt": admin.certificate,
            "admin.key": admin.key,
            "accounts.key": pki.private_pem(pki.new_key()),
            "components.kubeconfig": yaml.safe_dump(component).encode(),
            "audit.yaml": components.AUDIT_POLICY,
        }
        for name, content in contents.items():
            self._write(name, content)

    def _write(self, name: str, content: bytes) -> Path:
        file = self.directory / name
        file.touch(mode=0o600)
        file.write_bytes(content)
        return file

    def _kubeconfig(self, user: str, credentials: dict[str, str]) -> dict[str, Any]:
        return kubeconfig.kubeconfig(self.name, self.url, self._authority.certificate, user, credentials)

    def _add_node(self) -> None:
        if not self._client.exists("/api/v1/nodes/node-0"):
            labels = {"kubernetes.io/hostname": "node-0", "kubernetes.io/os": "linux"}
            room = {"cpu": "1000", "memory": "4Ti", "pods": "10000"}
            status = {"capacity": room, "allocatable": room}
            self.api("POST", "/api/v1/nodes", {"metadata": {"name": "node-0", "labels": labels}, "status": status})
        ready = self._client.node_ready
        self._controllers[-1].wait_ready(lambda: ready("node-0"))


class ClusterSet:
    """Some clusters over one etcd; a context manager that leaves no process and no folder behind."""

    def __init__(self, *names: str, audit: bool = False, pods: bool = False) -> None:
        """Clusters of these names start on entry; `audit` records requests; `pods` lets pods become ready."""
        self.clusters: list[Cluster] = []
        self._names = names
        self._audit, self._pods = audit, pods
        self._etcd_url = f"http://127.0.0.1:{ports.reserve()}"
        self._etcd: Server | None = None

    def __enter__(self) -> ClusterSet:
        self.scratch = Scratch()
        try:
            self._etcd = components.etcd(self.scratch.path, self._etcd_url)
            self._etcd.start()
            self._etcd.wait_ready(lambda: _healthy(self._etcd_url))
            self._add(self._names)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getitem__(self, name: str) -> Cluster:
        return next(cluster for cluster in self.clusters if cluster.name == name)

    @property
    def etcd_pid(self) -> int | None:
        """Process id of the etcd shared by all."""
        return self._etcd.pid if self._etcd else None

    def ensure(self, count: int) -> None:
        """Have at least `count` clusters; new ones are named `cluster-<number>`."""
        self._add([f"cluster-{number}" for number in range(len(self.clusters), count)])

    def close(self) -> None:
        """Stop everything: controllers, API servers (they hang without etcd), etcd."""
        if self.clusters:
            with ThreadPoolExecutor(len(self.clusters)) as pool:
                list(pool.map(Cluster.shut_down, self.clusters))
        self.clusters.clear()
        if self._etcd:
            self._etcd.kill()
        self.scratch.remove()

    def _add(self, names: Sequence[str]) -> None:
        added = []
        for name in names:
            directory = self.scratch.path / name
            directory.mkdir(mode=0o700)
            added.append(Cluster(name, directory, self._etcd_url, audit=self._audit, pods=self._pods))
        self.clusters.extend(added)
        for cluster in added:
            cluster.spawn()
        for cluster in added:
            cluster.wait_ready()


def _healthy(etcd: str) -> bool:
    try:
        return urllib3.request("GET", f"{etcd}/health", timeout=2.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
