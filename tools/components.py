"""How each component of a cluster is run: its flags, nothing about its life.

Each takes the cluster's folder, where `tools/clusters.py` has put certificates, keys and the components' kubeconfig.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools import binaries
from workers.embedded import ports
from workers.embedded.process import Server

COMPONENT_USER = "bench:component"
"""User of controller-manager, scheduler and kwok; its requests are not audited."""

AUDIT_POLICY = yaml.safe_dump(
    {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
        "rules": [{"level": "None", "users": ["system:apiserver", COMPONENT_USER]}, {"level": "Metadata"}],
    }
).encode()


def etcd(folder: Path, url: str) -> Server:
    """The etcd of all clusters; it never syncs to disk, so a power cut would lose data and a kill does not."""
    peers = f"http://127.0.0.1:{ports.reserve()}"
    flags = {
        "data-dir": folder / "etcd",
        "unsafe-no-fsync": "true",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
        "quota-backend-bytes": 8 << 30,
        "log-level": "warn",
    }
    return _server("etcd", folder, flags)


def apiserver(folder: Path, port: int, etcd_url: str, *, audit: bool) -> Server:
    """An API server with RBAC and default admission; its keys in etcd lie under the folder's name."""
    flags: dict[str, Any] = {
        "etcd-servers": etcd_url,
        "etcd-prefix": f"/{folder.name}",
        "etcd-count-metric-poll-period": 0,
        "etcd-db-metric-poll-interval": 0,
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": folder / "server.crt",
        "tls-private-key-file": folder / "server.key",
        "client-ca-file": folder / "ca.crt",
        "authorization-mode": "RBAC",
        "allow-privileged": "true",
        "service-cluster-ip-range": "10.96.0.0/16",
        "endpoint-reconciler-type": "none",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "accounts.key",
        "service-account-signing-key-file": folder / "accounts.key",
        "shutdown-watch-termination-grace-period": "1s",  # without it, open watches hold up its end for a minute
        "profiling": "false",
    }
    if audit:
        flags |= {
            "audit-policy-file": folder / "audit.yaml",
            "audit-log-path": folder / "audit.log",
            "audit-log-maxsize": 100_000,
        }
    return _server("kube-apiserver", folder, flags)


def controller_manager(folder: Path) -> Server:
    """Kubernetes' controllers: garbage collection, namespaces, service accounts, Deployments, Jobs and the rest."""
    flags = {
        "service-account-private-key-file": folder / "accounts.key",
        "root-ca-file": folder / "ca.crt",
        "kube-api-qps": 300,
        "kube-api-burst": 500,
    }
    return _server("kube-controller-manager", folder, {**_client_flags(folder), **flags})


def scheduler(folder: Path) -> Server:
    """The scheduler, which places pods on kwok's node."""
    return _server("kube-scheduler", folder, _client_flags(folder))


def kwok(folder: Path) -> Server:
    """The kubelet of all nodes, as `tools/kwok/stages.yaml` plays it."""
    flags = {
        "kubeconfig": folder / "components.kubeconfig",
        "config": binaries.ROOT / "tools/kwok/stages.yaml",
        "manage-all-nodes": "true",
        "node-lease-duration-seconds": 40,
    }
    return _server("kwok", folder, flags)


def _client_flags(folder: Path) -> dict[str, Any]:
    return {"kubeconfig": folder / "components.kubeconfig", "leader-elect": "false", "secure-port": 0}


def _server(program: str, folder: Path, flags: dict[str, Any]) -> Server:
    arguments = [f"--{flag}={value}" for flag, value in flags.items()]
    return Server(f"{program} of {folder.name}", [binaries.find(program), *arguments], folder / f"{program}.log")
