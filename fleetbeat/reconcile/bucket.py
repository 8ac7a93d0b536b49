"""The Bucket pipeline: from the objects of a bucket to an artifact that everybody can read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from fleetbeat.api.source import BucketSpec
from fleetbeat.errors import AccessDenied, AuthenticationFailed, BucketFailed, InvalidSTS, UnsupportedProvider
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.cloudlogin import source_login
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.politeness import wait_turn
from fleetbeat.reconcile.run import Pipeline
from fleetbeat.reconcile.sourcework import (
    Fetched,
    SourceWork,
    fail,
    finalise,
    keep,
    publish,
    read_spec,
    store_artifact,
)
from fleetbeat.sources import bucket
from fleetbeat.sources.bucket.access import Access, certificates_of, keys_of
from fleetbeat.sources.credentials import HttpCredentials, proxy_of
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.pools import usable


@dataclass
class BucketWork(SourceWork[BucketSpec]):
    """What the steps of this pipeline leave for each other."""

    latest: ClassVar[str] = "latest.tar.gz"

    access: Access = field(default_factory=Access)

    @property
    def host(self) -> str:
        """The upstream host."""
        return self.spec.endpoint

    @property
    def ambient(self) -> bool:
        """Whether an identity at AWS serves instead of a Secret."""
        return self.spec.provider == "aws" and self.spec.secret_ref is None

    @property
    def account(self) -> str:
        """The service account whose identity that is; empty with the worker's own."""
        named = self.spec.service_account_name or self.ctx.settings.default_source_service_account
        return named if self.ambient else ""

    def facts(self) -> dict[str, Any]:
        """What the artifact was made of."""
        return {"observedIgnore": self.spec.ignore}

    def secret(self, field_name: str, name: str) -> tuple[dict[str, bytes], str]:
        """The data of a Secret that `spec.<field_name>` names, and its full name."""
        full = f"{self.ref.namespace}/{name}"
        try:
            return self.ctx.targets.reader.secret(self.ref.namespace, name), full
        except NotFound as error:
            raise AuthenticationFailed(f"spec.{field_name}: Secret {full} not found") from error


def refuse_unsupported(work: BucketWork) -> Outcome | None:
    """What this version cannot do is said, and nothing is tried instead."""
    spec = work.spec
    if spec.provider in ("gcp", "azure"):
        raise UnsupportedProvider(
            f"spec.provider {spec.provider} is not supported; use generic with the S3 interface of the store, or leave "
            "this object to Flux's source-controller"
        )
    if spec.service_account_name and spec.provider != "aws":
        raise UnsupportedProvider("spec.serviceAccountName is for provider aws only; remove it, or use spec.secretRef")
    if spec.sts is not None and (spec.provider, spec.sts.provider) != ("aws", "aws"):
        raise InvalidSTS("spec.sts is supported for provider aws only, with spec.sts.provider aws; use spec.secretRef")
    if spec.sts is not None and spec.secret_ref is not None:
        raise InvalidSTS("spec.sts and spec.secretRef exclude each other; remove one")
    if spec.sts is not None and work.account:
        raise InvalidSTS(
            f"spec.sts and ServiceAccount {work.account} exclude each other: its token goes to AWS' own service alone"
        )
    if work.ambient and not work.account and spec.bucket_name == work.ctx.store.settings.bucket:
        raise AccessDenied(
            f"spec.bucketName {spec.bucket_name!r} is where Fleetbeat keeps everybody's artifacts, which the worker's "
            "own identity would open; name another bucket or a Secret"
        )
    return None


def read_access(work: BucketWork) -> Outcome | None:
    """The Secrets and the service account that the spec names, read from the hub for this run only."""
    spec = work.spec
    access = Access(ambient=work.ambient and not work.account, sts=spec.sts.endpoint if spec.sts else "")
    if spec.secret_ref is not None:
        access = replace(access, keys=keys_of(*work.secret("secretRef", spec.secret_ref.name)))
    login = source_login(work.ctx.targets.reader.client, work.ref.namespace, work.account)
    if login is not None:
        access = replace(access, keys=bucket.role_keys(bucket_of(spec), login))
    if spec.cert_secret_ref is not None:
        data, name = work.secret("certSecretRef", spec.cert_secret_ref.name)
        ca, certificate, key = certificates_of(data, name)
        usable(HttpCredentials(ca=ca, certificate=certificate, key=key), f"Secret {name} (spec.certSecretRef)")
        access = replace(access, ca=ca, certificate=certificate, key=key)
    if spec.proxy_secret_ref is not None:
        access = replace(access, proxy=proxy_of(*work.secret("proxySecretRef", spec.proxy_secret_ref.name)))
    work.access = access
    return None


def bucket_of(spec: BucketSpec) -> bucket.Bucket:
    """Where the objects are."""
    return bucket.Bucket(spec.endpoint, spec.bucket_name, spec.insecure, spec.region or "")


def fetch_objects(work: BucketWork) -> Outcome | None:
    """List the bucket; objects that make another revision become an archive."""
    spec, standing = work.spec, work.standing()
    found = bucket.fetch(
        bucket_of(spec),
        work.access,
        prefix=spec.prefix or "",
        ignore=spec.ignore,
        observed=standing["revision"] if standing else None,
        scratch=work.ctx.directory("buckets"),
        deadline=Deadline.after(work.timeout, BucketFailed),
    )
    filename = f"{found.revision.partition(':')[2]}.tar.gz"
    note = f"stored artifact with {found.files} fetched files from '{spec.bucket_name}' bucket"
    work.fetched = Fetched(found.revision, filename, found.archive, note)
    return None


PIPELINE = Pipeline(
    work=BucketWork,
    steps=(
        *(finalise, read_spec, refuse_unsupported, wait_turn, read_access, fetch_objects),
        *(keep, store_artifact, publish),
    ),
    on_error=fail,
)
"""What a run of a Bucket does."""
