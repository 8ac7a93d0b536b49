"""Who a source is where it logs in to a cloud, as its run and its sweep find out."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from fleetbeat.api.refs import Ref
from fleetbeat.api.source import BucketSpec, GitRepositorySpec, OCIRepositorySpec
from fleetbeat.errors import OCIPullFailed
from fleetbeat.kube import vendorlogins
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile.bucket import BucketWork, read_access, refuse_unsupported
from fleetbeat.reconcile.context import Context
from fleetbeat.reconcile.gitaccount import Login, account_of
from fleetbeat.reconcile.ociaccess import access_of
from fleetbeat.settings import Settings
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.oci.reference import Repository
from tests.support.vendorapis import GOOGLE_ACCOUNT

ROLE = "arn:aws:iam::123456789012:role/sources"
PROVIDER = "projects/123/locations/global/workloadIdentityPools/pool/providers/hub"
AWS = {vendorlogins.ROLE: ROLE}
AZURE = {vendorlogins.TENANT: "tenant", vendorlogins.CLIENT: "client"}
GCP = {vendorlogins.PROVIDER: PROVIDER, vendorlogins.GOOGLE_ACCOUNT: GOOGLE_ACCOUNT}
REPOSITORIES = {
    "aws": "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app",
    "azure": "https://dev.azure.com/org/project/_git/app",
}
REGISTRIES = {
    "aws": "oci://123456789012.dkr.ecr.eu-west-1.amazonaws.com/apps",
    "azure": "oci://fleet.azurecr.io/apps",
    "gcp": "oci://europe-docker.pkg.dev/project/apps/shop",
}
TOKEN = "/api/v1/namespaces/apps/serviceaccounts/deployer/token"


def context(hub: KubeClient, default: str = "") -> Context:
    """Of a worker whose hub this is."""
    made = Context(Settings.from_env({"FLEETBEAT_DEFAULT_SOURCE_SERVICE_ACCOUNT": default}))
    made.hub = hub
    return made


def soon() -> Deadline:
    return Deadline.after(20, OCIPullFailed)


def git(ctx: Context, provider: str, name: str | None = "deployer", url: str = "") -> Any:
    """The account of a GitRepository."""
    wire = {"interval": "1m", "url": url or REPOSITORIES[provider], "provider": provider, "serviceAccountName": name}
    spec = msgspec.convert({key: value for key, value in wire.items() if value}, GitRepositorySpec)
    login = Login.of("apps", spec, spec.url, ctx.settings.default_source_service_account)
    return account_of(ctx.targets.reader, login, soon())


def registry_spec(provider: str, name: str | None = "deployer", url: str = "") -> OCIRepositorySpec:
    wire = {"interval": "1m", "url": url or REGISTRIES[provider], "provider": provider, "serviceAccountName": name}
    return msgspec.convert({key: value for key, value in wire.items() if value}, OCIRepositorySpec)


def registry(ctx: Context, provider: str, name: str | None = "deployer", url: str = "") -> Access:
    """That of an OCIRepository."""
    spec = registry_spec(provider, name, url)
    return access_of(ctx, "apps", spec, Repository.parse(spec.url), soon())


def bucket(ctx: Context, provider: str, name: str | None = "deployer", **more: Any) -> Any:
    """The access of a Bucket."""
    wire = {"interval": "1m", "bucketName": "b", "endpoint": "s3.eu-west-1.amazonaws.com", "provider": provider, **more}
    spec = msgspec.convert(wire | ({"serviceAccountName": name} if name else {}), BucketSpec)
    ref, obj = Ref("Bucket", "apps", "b"), {"metadata": {"uid": "u"}}
    work = BucketWork(ctx, ref, "0", 1, "", "hub", obj, {}, {}, cast(Any, None), decoded=spec)
    refuse_unsupported(work)
    read_access(work)
    return work.access
