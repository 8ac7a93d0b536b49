"""Google GKE: the cluster's addresses and authority from Google's API, and access tokens of Google to enter it.

A service account's own token is exchanged at Google's security token service: by the workload identity provider of its
annotation, or else by that of the GKE cluster that this worker runs in; then for a token of the Google service account
of its annotation, if there is one.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from urllib3.exceptions import HTTPError

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube import managed
from fleetbeat.kube.access import Described, account_token, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, Unauthorized
from fleetbeat.kube.managed import Endpoint

API, EXCHANGE, IAM = (
    "https://container.googleapis.com",
    "https://sts.googleapis.com",
    "https://iamcredentials.googleapis.com",
)
"""The only servers, besides the cluster, that see tokens."""
SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email")
PROVIDER = "gcp.auth.fluxcd.io/workload-identity-provider"
"""Annotation of a ServiceAccount: who at Google knows the issuer of its tokens."""
GOOGLE_ACCOUNT = "iam.gke.io/gcp-service-account"
"""Annotation of a ServiceAccount: the Google service account that it acts as."""
_CLUSTER = re.compile(r"projects/\w[\w.:-]{0,200}/locations/[\w-]{1,100}/clusters/(?P<name>[\w-]{1,100})")
_PROVIDER = re.compile(r"projects/\d{1,30}/locations/global/workloadIdentityPools/[\w-]{1,100}/providers/[\w-]{1,100}")
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_EMAIL = re.compile(r"[\w-]{1,100}@[\w.:-]{1,100}\.iam\.gserviceaccount\.com")


def config_of(hub: KubeClient, namespace: str, described: Described) -> ClusterConfig:
    """How the cluster is reached. Raises InvalidKubeconfig or Unauthorized."""

    def ask() -> Token:
        with managed.asking("GKE", "gcp"):
            return clouds.google(SCOPES, _credentials(hub, namespace, described.account) if described.account else None)

    return managed.config_of(described, lambda: _describe(described.cluster, ask), ask)


def _describe(cluster: str, ask: Callable[[], Token]) -> list[Endpoint]:
    """Its addresses as Google says them, the usual one first; that by DNS has a certificate of Google's own."""
    found = _CLUSTER.fullmatch(cluster)
    if found is None:
        raise InvalidKubeconfig(
            "cluster is not the name of a GKE cluster, projects/PROJECT/locations/LOCATION/clusters/NAME"
        )
    what = f"GKE cluster {found['name']}"
    answer = managed.ask(what, ask().value, f"{API}/v1/{cluster}")
    try:
        ca = base64.b64decode(_at(answer, "masterAuth", "clusterCaCertificate"), validate=True)
    except binascii.Error as error:
        raise InvalidKubeconfig(f"{what}: its authority cannot be read") from error
    control = answer.get("controlPlaneEndpointsConfig") or {}
    named = [
        answer.get("endpoint"),
        *(_at(control, "ipEndpointsConfig", which) for which in ("publicEndpoint", "privateEndpoint")),
        *(_at(answer, "privateClusterConfig", which) for which in ("publicEndpoint", "privateEndpoint")),
    ]
    endpoints = [Endpoint(server_of(one), ca) for one in dict.fromkeys(named) if one and ca]
    by_name = _at(control, "dnsEndpointConfig", "endpoint")
    return [*endpoints, Endpoint(server_of(by_name), None)] if by_name else endpoints


def _at(fields: Mapping[str, Any], group: str, name: str) -> str:
    return str((fields.get(group) or {}).get(name) or "")


def _credentials(hub: KubeClient, namespace: str, account: str) -> Any:
    """google-auth's login by a service account's own token."""
    from google.auth import identity_pool

    class Proof(identity_pool.SubjectTokenSupplier):
        def get_subject_token(self, context: object, request: object) -> str:
            return proof

    annotations = managed.annotations_of(hub, namespace, account)
    provider = _annotation(annotations, PROVIDER, _PROVIDER)
    email = _annotation(annotations, GOOGLE_ACCOUNT, _EMAIL)
    audience = exchanged = f"//iam.googleapis.com/{provider}"
    if not provider:
        audience, issuer = _home()
        exchanged = f"identitynamespace:{audience}:{issuer}"
    proof = account_token(hub, namespace, account, (audience,)).value
    url = f"{IAM}/v1/projects/-/serviceAccounts/{email}:generateAccessToken" if email else None
    return identity_pool.Credentials(  # type: ignore[no-untyped-call]
        audience=exchanged,
        subject_token_type=_JWT,
        token_url=f"{EXCHANGE}/v1/token",
        subject_token_supplier=Proof(),
        service_account_impersonation_url=url,
        scopes=list(SCOPES),
    )


def _annotation(annotations: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = annotations.get(name) or ""
    if value and not form.fullmatch(value):
        raise InvalidKubeconfig(f"the ServiceAccount's annotation {name} is not of the form {form.pattern}")
    return value


@cache
def _home() -> tuple[str, str]:
    """Workload identity pool and issuer of the GKE cluster that this worker runs in, from its metadata server."""
    names = ("project/project-id", "instance/attributes/cluster-location", "instance/attributes/cluster-name")
    project, location, name = (_metadata(one) for one in names)
    issuer = f"https://container.googleapis.com/v1/projects/{project}/locations/{location}/clusters/{name}"
    return f"{project}.svc.id.goog", issuer


def _metadata(name: str) -> str:
    host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    url = f"http://{host}/computeMetadata/v1/{name}"
    try:
        status, body = clouds.ask("GET", url, {"Metadata-Flavor": "Google"})
    except HTTPError:
        status, body = 0, b""
    if status != 200 or not body:
        raise Unauthorized(
            f"this worker does not run in GKE, so the ServiceAccount needs the annotation {PROVIDER}", status=401
        )
    return body.decode()
