"""Bucket. Owns the Structs only."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import Duration, LocalRef, Part, Rule, ShortDuration
from fleetbeat.api.source.common import CloudProvider, SourceStatus


class BucketSTS(Part, frozen=True):
    """A service that gives temporary credentials."""

    rules = (
        Rule(
            "self.provider == 'ldap' || (!has(self.secretRef) && !has(self.certSecretRef))",
            "spec.sts.secretRef and spec.sts.certSecretRef are for STS provider ldap only",
        ),
    )

    endpoint: Annotated[str, Meta(pattern=r"^(http|https)://.*$")]
    """URL of the service."""
    provider: Literal["aws", "ldap"]
    """aws for buckets of provider aws, ldap for those of provider generic."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`; for ldap."""
    secret_ref: LocalRef | None = None
    """Secret with `username` and `password`; for ldap."""


class BucketSpec(Part, frozen=True):
    """Which objects of which bucket become the artifact."""

    rules = (
        Rule(
            "!has(self.sts) || (self.provider == 'aws' && self.sts.provider == 'aws')"
            " || (self.provider == 'generic' && self.sts.provider == 'ldap')",
            "spec.sts.provider is aws with spec.provider aws, and ldap with generic; other providers take no spec.sts",
        ),
        Rule(
            "!has(self.serviceAccountName) || self.provider != 'generic'",
            "spec.serviceAccountName is not for provider generic",
        ),
        Rule(
            "!has(self.serviceAccountName) || !has(self.secretRef)",
            "spec.serviceAccountName and spec.secretRef exclude each other",
        ),
    )

    bucket_name: str
    """Name of the bucket or container."""
    endpoint: str
    """Host and port, without scheme."""
    interval: Duration
    """Time between two looks at the bucket."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`."""
    ignore: str | None = None
    """Patterns as in .gitignore of objects to leave out."""
    insecure: bool = False
    """Allow plain HTTP."""
    prefix: str | None = None
    """Look only at keys that begin so."""
    provider: CloudProvider = "generic"
    """Dialect of the API, and where credentials come from."""
    proxy_secret_ref: LocalRef | None = None
    """Secret with the proxy's `address`, and `username` and `password` if it wants them."""
    region: str | None = None
    """Region of the bucket."""
    secret_ref: LocalRef | None = None
    """Secret with `accesskey` and `secretkey`, or what the cloud's dialect asks for."""
    service_account_name: str | None = None
    """ServiceAccount whose workload identity is used; not with provider generic."""
    sts: BucketSTS | None = None
    """A service that gives temporary credentials."""
    suspend: bool = False
    """Do nothing until it is false again."""
    timeout: ShortDuration = "60s"
    """Limit of one operation on the bucket."""


class BucketStatus(SourceStatus, frozen=True):
    """What was fetched, and with which settings."""

    observed_ignore: str | None = None
    """spec.ignore of the artifact."""
    url: str | None = None
    """Where the latest artifact may be downloaded."""
