"""Amazon EKS: the cluster's address and authority from its API, and its bearer tokens, through the vendor's SDK.

A token is a presigned STS request, good for one cluster.
"""

from __future__ import annotations

import base64
import binascii
import re
from time import time
from typing import Any

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube import managed, vendorlogins
from fleetbeat.kube.access import Described, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, Unauthorized
from fleetbeat.kube.managed import Endpoint

TOKEN_SECONDS = 900.0
"""How long EKS accepts a token."""
_ARN = re.compile(r"arn:aws[\w-]*:eks:(?P<region>[a-z0-9-]+):\d{12}:cluster/(?P<name>[0-9A-Za-z][\w-]{0,99})")


def config_of(hub: KubeClient, namespace: str, described: Described) -> ClusterConfig:
    """How the cluster is reached. Raises InvalidKubeconfig or Unauthorized."""
    found = _ARN.fullmatch(described.cluster)
    if found is None:
        raise InvalidKubeconfig("cluster is not the ARN of an EKS cluster, arn:aws:eks:REGION:ACCOUNT:cluster/NAME")
    region, name = found["region"], found["name"]

    def session() -> Any:
        return _session(hub, namespace, described.account, region)

    return managed.config_of(
        described, lambda: _describe(session(), region, name), lambda: _token(session(), region, name)
    )


def _session(hub: KubeClient, namespace: str, account: str, region: str) -> Any:
    """The worker's own AWS session, or one of the role of a service account."""
    from botocore.session import get_session

    return vendorlogins.aws_session(hub, namespace, account, region) if account else get_session()


def _describe(session: Any, region: str, name: str) -> list[Endpoint]:
    client = clouds.aws_client(session, "eks", region)
    found = vendorlogins.aws_asked(f"EKS cluster {name}", lambda: client.describe_cluster(name=name))["cluster"]
    try:
        ca = base64.b64decode(found["certificateAuthority"]["data"], validate=True)
        return [Endpoint(server_of(found["endpoint"]), ca)]
    except (KeyError, binascii.Error):
        return []


def _token(session: Any, region: str, name: str) -> Token:
    """A presigned GetCallerIdentity that names the cluster in a signed header: that is how EKS knows a caller."""
    from botocore.signers import RequestSigner

    sts = clouds.aws_client(session, "sts", region)
    credentials = session.get_credentials()
    if credentials is None:
        raise Unauthorized("the worker has no AWS identity", status=401)
    service = sts.meta.service_model.service_id
    signer = RequestSigner(service, region, "sts", "v4", credentials, session.get_component("event_emitter"))
    request = {
        "method": "GET",
        "url": f"{sts.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": name},
        "context": {},
    }
    until = time() + TOKEN_SECONDS
    url = vendorlogins.aws_asked(
        "AWS identity", lambda: signer.generate_presigned_url(request, "", region_name=region, expires_in=60)
    )
    encoded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return Token(f"k8s-aws-v1.{encoded}", until)
