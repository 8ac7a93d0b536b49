"""The hub's cluster under another name, as a ConfigMap describes it."""

from __future__ import annotations

from fleetbeat.kube.client import KubeClient
from tools.clusters import Cluster

RBAC = "rbac.authorization.k8s.io"


def describe_hub(client: KubeClient, namespace: str, cluster: Cluster) -> dict[str, str]:
    """The ConfigMap's data; makes the service account `fleet` of that namespace, which may do everything there."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fleet"}}
    client.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    subject = {"kind": "ServiceAccount", "name": "fleet", "namespace": namespace}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": f"{namespace}-fleet"}, "roleRef": role, "subjects": [subject]}
    client.create(
        f"/apis/{RBAC}/v1/clusterrolebindings",
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", **binding},
    )
    review = cluster.api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/fleet/token", {"spec": {}})
    return {
        "provider": "generic",
        "address": cluster.url,
        "ca.crt": (cluster.directory / "ca.crt").read_text(),
        "serviceAccountName": "fleet",
        "audiences": "\n".join(review["spec"]["audiences"]),
    }
