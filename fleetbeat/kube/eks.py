"""Amazon EKS: the cluster's address and authority from its API, and its bearer tokens, through the vendor's SDK.

A token is a presigned STS request, good for one cluster. A service account assumes the role of its annotation with a
token of its own.
"""

from __future__ import annotations

import base64
import binascii
import re
from time import time
from typing import Any

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube import managed
from fleetbeat.kube.access import Described, account_token, server_of
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, Unauthorized
from fleetbeat.kube.managed import Endpoint

TOKEN_SECONDS = 900.0
"""How long EKS accepts a token."""
ROLE = "eks.amazonaws.com/role-arn"
"""Annotation of a ServiceAccount: the role that it assumes."""
AUDIENCE = "sts.amazonaws.com"
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

    opened = get_session()
    if not account:
        return opened
    role = managed.annotations_of(hub, namespace, account).get(ROLE)
    if not role:
        raise InvalidKubeconfig(f"ServiceAccount {namespace}/{account} has no annotation {ROLE}")
    token = account_token(hub, namespace, account, (AUDIENCE,)).value
    from botocore import UNSIGNED

    sts = _client(opened, "sts", region, signature_version=UNSIGNED)
    found = _asked(
        f"role {role}",
        lambda: sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="fleetbeat", WebIdentityToken=token, DurationSeconds=3600
        ),
    )["Credentials"]
    opened.set_credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    return opened


def _describe(session: Any, region: str, name: str) -> list[Endpoint]:
    client = _client(session, "eks", region)
    found = _asked(f"EKS cluster {name}", lambda: client.describe_cluster(name=name))["cluster"]
    try:
        ca = base64.b64decode(found["certificateAuthority"]["data"], validate=True)
        return [Endpoint(server_of(found["endpoint"]), ca)]
    except (KeyError, binascii.Error):
        return []


def _token(session: Any, region: str, name: str) -> Token:
    """A presigned GetCallerIdentity that names the cluster in a signed header: that is how EKS knows a caller."""
    from botocore.signers import RequestSigner

    sts = _client(session, "sts", region)
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
    url = _asked("AWS identity", lambda: signer.generate_presigned_url(request, "", region_name=region, expires_in=60))
    encoded = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return Token(f"k8s-aws-v1.{encoded}", until)


def _client(session: Any, service: str, region: str, **options: Any) -> Any:
    from botocore.config import Config

    return session.create_client(service, region_name=region, config=Config(**clouds.AWS_LIMITS, **options))


def _asked(what: str, ask: Any) -> Any:
    """The SDK's answer; its errors as ours, without their texts, which may quote what was sent."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return ask()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        raise Unauthorized(f"{what}: AWS answers {code}", status=401) from error
    except BotoCoreError as error:
        raise Unauthorized(f"{what}: {type(error).__name__}", status=401) from error
