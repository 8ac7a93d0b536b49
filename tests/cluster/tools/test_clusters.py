"""The bench's clusters: separate, restartable, gone afterwards."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.support.wait import until
from tools.apiclient import ApiError
from tools.clusters import Cluster, ClusterSet
from tools.scratch import Scratch

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
KUBECTL = Path(sys.executable).with_name("kubectl")

PARENT = """
import time
from tools.clusters import ClusterSet
with ClusterSet("doomed") as clusters:
    print(clusters.scratch.path, clusters.etcd_pid, *clusters["doomed"].pids, flush=True)
    time.sleep(600)
"""


def kubectl(tmp_path: Path, kubeconfig: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real kubectl with a kubeconfig."""
    file = tmp_path / f"{uuid.uuid4().hex}.yaml"
    file.write_text(yaml.safe_dump(kubeconfig))
    environment = {**os.environ, "KUBECONFIG": str(file), "HOME": str(tmp_path)}
    return subprocess.run([KUBECTL, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", [Cluster.stop, Cluster.kill], ids=["stop", "kill"])
def test_a_restarted_cluster_keeps_address_and_data(cluster: Cluster, how: Callable[[Cluster], None]) -> None:
    """After a stop or kill, start brings back the same URL, objects and tokens."""
    name = f"kept-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    url, uid = cluster.url, cluster.api("GET", f"/api/v1/namespaces/{name}")["metadata"]["uid"]
    how(cluster)
    cluster.start()
    assert cluster.url == url
    assert cluster.api("GET", f"/api/v1/namespaces/{name}")["metadata"]["uid"] == uid
    cluster.api("DELETE", f"/api/v1/namespaces/{name}")


def test_clusters_do_not_share_data_or_trust(clusters: Callable[[int], list[Cluster]], tmp_path: Path) -> None:
    """A namespace of one is unknown to the other, and so are its administrator's credentials."""
    first, second = clusters(2)
    name = f"only-{uuid.uuid4().hex[:8]}"
    first.create_namespace(name)
    with pytest.raises(ApiError, match="404"):
        second.api("GET", f"/api/v1/namespaces/{name}")
    mixed = {**second.kubeconfig_data, "users": [{**first.kubeconfig_data["users"][0]}]}
    refused = kubectl(tmp_path, mixed, "get", "namespaces")
    assert refused.returncode != 0
    assert "Unauthorized" in refused.stderr or "must be logged in" in refused.stderr
    first.api("DELETE", f"/api/v1/namespaces/{name}")


def test_users_have_the_rights_of_their_groups(cluster: Cluster, tmp_path: Path) -> None:
    """RBAC is on: masters may all, a user without bindings nothing, and an expired certificate is refused."""
    expired = datetime.timedelta(hours=-1)
    answers = [
        kubectl(tmp_path, kubeconfig, "get", "secrets", "-A")
        for kubeconfig in (
            cluster.user_kubeconfig("boss", ["system:masters"]),
            cluster.user_kubeconfig("nobody"),
            cluster.user_kubeconfig("late", ["system:masters"], expired),
        )
    ]
    assert answers[0].returncode == 0
    assert "Forbidden" in answers[1].stderr
    assert answers[2].returncode != 0
    assert "Forbidden" not in answers[2].stderr


def test_service_account_tokens_work(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """A token of a service account authenticates as that account."""
    answer = kubectl(tmp_path, cluster.token_kubeconfig(namespace, "default"), "auth", "whoami", "-o", "yaml")
    assert f"system:serviceaccount:{namespace}:default" in answer.stdout, answer.stderr


def test_requests_are_recorded(cluster: Cluster, namespace: str) -> None:
    """The audit log names verb, resource and user agent of each request, not those of the cluster's own parts."""
    before = len(cluster.requests())
    cluster.api("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "recorded"}})
    new = until(lambda: [e for e in cluster.requests()[before:] if e["objectRef"].get("name") == "recorded"])
    assert [(e["verb"], e["objectRef"]["resource"], e["userAgent"]) for e in new] == [
        ("create", "configmaps", "fleetbeat-bench")
    ]


def test_pods_become_ready_where_asked_for() -> None:
    """With `pods=True` a Deployment gets its replicas, scheduled and ready, and a Job succeeds."""
    labels = {"app": "web"}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web"}]}},
    }
    with ClusterSet("running", pods=True) as running:
        cluster = running["running"]
        path = "/apis/apps/v1/namespaces/default/deployments"
        cluster.api("POST", path, {"metadata": {"name": "web"}, "spec": spec})
        until(lambda: cluster.api("GET", f"{path}/web")["status"].get("readyReplicas") == 2, timeout=60)
        jobs = "/apis/batch/v1/namespaces/default/jobs"
        pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work"}]}
        cluster.api("POST", jobs, {"metadata": {"name": "work"}, "spec": {"template": {"spec": pod}}})
        until(lambda: cluster.api("GET", f"{jobs}/work")["status"].get("succeeded") == 1, timeout=60)


def test_a_killed_owner_leaves_nothing_behind() -> None:
    """SIGKILL of the process that runs clusters ends every server; the next owner removes its folder."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        folder, *pids = parent.stdout.readline().split()
        assert len(pids) == 3
        parent.kill()
    until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids), timeout=60, message="servers are gone")
    with Scratch():
        assert not Path(folder).exists()
