"""Who a ServiceAccount of the hub is at a cloud vendor: by its annotations, and a short-lived token of its own.

Owns the annotations, which are those that Flux and the vendors read, and the exchange of such tokens. The worker's own
identity never stands in. Knows no service that the identity is shown to: that is for callers to check.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from urllib3.exceptions import HTTPError

from fleetbeat import clouds
from fleetbeat.kube.access import account_token
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import InvalidKubeconfig, NotFound, Unauthorized

ROLE = "eks.amazonaws.com/role-arn"
"""Annotation of a ServiceAccount: the role of AWS that it assumes."""
TENANT, CLIENT = "azure.workload.identity/tenant-id", "azure.workload.identity/client-id"
"""Annotations of a ServiceAccount: the identity of Entra that it logs in as."""
PROVIDER = "gcp.auth.fluxcd.io/workload-identity-provider"
"""Annotation of a ServiceAccount: who at Google knows the issuer of its tokens."""
GOOGLE_ACCOUNT = "iam.gke.io/gcp-service-account"
"""Annotation of a ServiceAccount: the Google service account that it acts as."""
EXCHANGE, IAM = "https://sts.googleapis.com", "https://iamcredentials.googleapis.com"
"""The only servers of Google's that see its tokens."""
_AWS_AUDIENCE, _AZURE_AUDIENCE = "sts.amazonaws.com", "api://AzureADTokenExchange"
_PROVIDER = re.compile(r"projects/\d{1,30}/locations/global/workloadIdentityPools/[\w-]{1,100}/providers/[\w-]{1,100}")
_EMAIL = re.compile(r"[\w-]{1,100}@[\w.:-]{1,100}\.iam\.gserviceaccount\.com")
_JWT = "urn:ietf:params:oauth:token-type:jwt"

T = TypeVar("T")


def identity_of(hub: KubeClient, namespace: str, account: str) -> str:
    """Which account this is, and who its annotations say it is. Raises Unauthorized when it is not there."""
    meta = _metadata_of(hub, namespace, account)
    annotations = meta.get("annotations") or {}
    said = [annotations.get(name) for name in (ROLE, TENANT, CLIENT, PROVIDER, GOOGLE_ACCOUNT)]
    return repr((namespace, account, meta["uid"], *said))


def aws_session(hub: KubeClient, namespace: str, account: str, region: str) -> Any:
    """botocore's session in the role of a service account. Raises InvalidKubeconfig or Unauthorized."""
    from botocore import UNSIGNED
    from botocore.session import get_session

    role = _needed(hub, namespace, account, ROLE)[ROLE]
    token = account_token(hub, namespace, account, (_AWS_AUDIENCE,)).value
    session = get_session()
    session.register_component("data_loader", _models())
    sts = clouds.aws_client(session, "sts", region, signature_version=UNSIGNED)
    found = aws_asked(
        f"role {role}",
        lambda: sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="fleetbeat", WebIdentityToken=token, DurationSeconds=clouds.AWS_ROLE_SECONDS
        ),
    )["Credentials"]
    session.set_credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    return session


@cache
def _models() -> Any:
    """What botocore knows of services and endpoints: megabytes, which all sessions share."""
    from botocore.loaders import create_loader

    return create_loader()


def aws_asked(what: str, ask: Callable[[], T]) -> T:
    """The SDK's answer; its errors as Unauthorized, without their texts, which may quote what was sent."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        return ask()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        raise Unauthorized(f"{what}: AWS answers {code}", status=401) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise Unauthorized(f"{what}: {type(error).__name__}", status=401) from error


def azure_credential(hub: KubeClient, namespace: str, account: str) -> Any:
    """azure-identity's login of a service account. Raises InvalidKubeconfig or Unauthorized."""
    from azure.identity import ClientAssertionCredential

    annotations = _needed(hub, namespace, account, TENANT, CLIENT)
    proof = account_token(hub, namespace, account, (_AZURE_AUDIENCE,)).value
    # The operator chose the authority, so nobody needs to be asked whether it is one.
    return ClientAssertionCredential(
        annotations[TENANT], annotations[CLIENT], lambda: proof, disable_instance_discovery=True, **clouds.AZURE_LIMITS
    )


def google_credentials(hub: KubeClient, namespace: str, account: str, scopes: Sequence[str]) -> Any:
    """google-auth's login by a service account's own token.

    That is exchanged at Google's security token service: by the workload identity provider of its annotation, or else
    by that of the GKE cluster that this worker runs in; then for a token of the Google service account of its
    annotation, if there is one. Raises InvalidKubeconfig or Unauthorized.
    """
    from google.auth import identity_pool

    class Proof(identity_pool.SubjectTokenSupplier):
        def get_subject_token(self, context: object, request: object) -> str:
            return proof

    annotations = _annotations(hub, namespace, account)
    provider = _formed(annotations, PROVIDER, _PROVIDER)
    email = _formed(annotations, GOOGLE_ACCOUNT, _EMAIL)
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
        scopes=list(scopes),
    )


def _metadata_of(hub: KubeClient, namespace: str, account: str) -> Mapping[str, Any]:
    try:
        meta: Mapping[str, Any] = hub.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")["metadata"]
    except NotFound as error:
        raise Unauthorized(f"ServiceAccount {namespace}/{account} not found", status=401) from error
    return meta


def _annotations(hub: KubeClient, namespace: str, account: str) -> Mapping[str, str]:
    return _metadata_of(hub, namespace, account).get("annotations") or {}


def _needed(hub: KubeClient, namespace: str, account: str, *names: str) -> Mapping[str, str]:
    annotations = _annotations(hub, namespace, account)
    for name in names:
        if not annotations.get(name):
            raise InvalidKubeconfig(f"ServiceAccount {namespace}/{account} has no annotation {name}")
    return annotations


def _formed(annotations: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
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
