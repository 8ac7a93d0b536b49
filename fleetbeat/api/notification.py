"""notification.toolkit.fluxcd.io: Receiver, Provider, Alert. Owns the Structs only; `notify` says what they do."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from fleetbeat.api.meta import Duration, LocalRef, ObjectName, Part, Rule, ShortDuration, Status

Watched = Literal[
    "Bucket",
    "GitRepository",
    "Kustomization",
    "HelmRelease",
    "HelmChart",
    "HelmRepository",
    "ImageRepository",
    "ImagePolicy",
    "ImageUpdateAutomation",
    "OCIRepository",
    "ArtifactGenerator",
    "ExternalArtifact",
]
"""Kinds that a Receiver may wake and whose events an Alert may tell."""
Text = Annotated[str, Meta(max_length=2048)]


class ReceiverResource(Part, frozen=True):
    """What a call wakes."""

    kind: Watched
    """Kind of the resources."""
    name: ObjectName
    """Name of the resource, or `*` for all that have the labels."""
    api_version: str | None = None
    """API version of the kind."""
    filter: str | None = None
    """CEL over `res`, `req` and `claims`; only resources for which it is true."""
    match_labels: dict[str, str] = {}
    """Labels that a resource must carry, with name `*`."""
    namespace: ObjectName | None = None
    """Namespace of the resources; default own."""


class OIDCValidation(Part, frozen=True):
    """What must hold of a token."""

    expression: str
    """CEL over the claims and variables; must be true."""
    message: str
    """What the caller reads when it is false."""


class OIDCVariable(Part, frozen=True):
    """A name for a CEL expression."""

    expression: str
    """The expression, in CEL over the claims."""
    name: str
    """Its name in other expressions."""


class OIDCProvider(Part, frozen=True):
    """An issuer whose tokens are accepted."""

    issuer_url: Annotated[str, Meta(pattern=r"^https?://")]
    """The issuer, exactly as tokens name it."""
    validations: Annotated[tuple[OIDCValidation, ...], Meta(min_length=1)]
    """What must hold of a token; all of them."""
    audience: str | None = None
    """The audience that a token must name; default `notification-controller`."""
    variables: tuple[OIDCVariable, ...] = ()
    """Names for expressions."""


class ReceiverSpec(Part, frozen=True):
    """Which webhook calls wake which resources."""

    rules = (
        Rule(
            "(self.type == 'generic-oidc') == (has(self.oidcProviders) && size(self.oidcProviders) > 0)",
            "type generic-oidc, and it alone, needs spec.oidcProviders",
        ),
        Rule(
            "(self.type == 'generic-oidc') != has(self.secretRef)",
            "every type but generic-oidc needs spec.secretRef, which generic-oidc must not have",
        ),
    )

    resources: tuple[ReceiverResource, ...]
    """What a call wakes."""
    type: Literal[
        "generic",
        "generic-hmac",
        "generic-oidc",
        "github",
        "gitlab",
        "bitbucket",
        "harbor",
        "dockerhub",
        "quay",
        "gcr",
        "nexus",
        "acr",
        "cdevents",
    ]
    """Who calls, and so how a call is verified."""
    events: tuple[str, ...] = ()
    """Names of events that count, without regard to case; none for all."""
    interval: Duration = "10m"
    """Time between two checks of the Receiver itself."""
    oidc_providers: Annotated[
        tuple[OIDCProvider, ...],
        Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["issuerURL"]}),
    ] = ()
    """Issuers whose tokens are accepted, with type generic-oidc."""
    resource_filter: str | None = None
    """CEL over `res`, `req` and `claims` for all resources, besides their own filters."""
    secret_ref: LocalRef | None = None
    """Secret with `token`, by which calls are verified; gcr also takes `email` and `audience`."""
    suspend: bool = False
    """Answer no calls until it is false again."""


class ReceiverStatus(Status, frozen=True):
    """Where calls go."""

    webhook_path: str | None = None
    """Path of the URL to call."""


class ProviderSpec(Part, frozen=True):
    """A service that is told of events."""

    rules = (
        Rule(
            "!has(self.commitStatusExpr) || self.type in"
            " ['github', 'gitlab', 'gitea', 'bitbucket', 'bitbucketserver', 'azuredevops']",
            "spec.commitStatusExpr is for Git services with a commit status only:"
            " github, gitlab, gitea, bitbucket, bitbucketserver, azuredevops",
        ),
    )

    type: Literal[
        "slack",
        "discord",
        "msteams",
        "rocket",
        "generic",
        "generic-hmac",
        "github",
        "gitlab",
        "gitea",
        "giteapullrequestcomment",
        "bitbucketserver",
        "bitbucket",
        "azuredevops",
        "googlechat",
        "googlepubsub",
        "webex",
        "sentry",
        "azureeventhub",
        "telegram",
        "lark",
        "matrix",
        "opsgenie",
        "alertmanager",
        "grafana",
        "githubdispatch",
        "githubpullrequestcomment",
        "gitlabmergerequestcomment",
        "pagerduty",
        "datadog",
        "nats",
        "zulip",
        "otel",
        "zoom",
        "incident.io",
    ]
    """Which service."""
    address: Text | None = None
    """Where it is; `address` in the Secret wins."""
    cert_secret_ref: LocalRef | None = None
    """Secret with `ca.crt`, `tls.crt` and `tls.key`."""
    channel: Text | None = None
    """Channel, room, topic or routing key, as the service calls it."""
    commit_status_expr: str | None = None
    """CEL over `event`, `alert` and `provider` that makes the id of a commit status."""
    interval: Duration | None = None
    """Deprecated; not used."""
    proxy: Annotated[str, Meta(max_length=2048, pattern=r"^(http|https)://.*$")] | None = None
    """Deprecated; use proxySecretRef."""
    proxy_secret_ref: LocalRef | None = None
    """Secret with the proxy's `address`, and `username` and `password` if it wants them."""
    secret_ref: LocalRef | None = None
    """Secret with `address`, `token`, `username`, `password` or `headers`, as the service needs."""
    service_account_name: str | None = None
    """ServiceAccount whose workload identity is used."""
    suspend: bool = False
    """Tell nothing until it is false again."""
    timeout: ShortDuration | None = None
    """Limit of one call; default 15s."""
    username: Text | None = None
    """Name that messages are sent under."""


class EventSource(Part, frozen=True):
    """Whose events count."""

    kind: Watched
    """Kind of the resources."""
    name: ObjectName
    """Name of the resource, or `*` for all that have the labels."""
    api_version: str | None = None
    """API version of the kind."""
    match_labels: dict[str, str] = {}
    """Labels that a resource must carry, with name `*`."""
    namespace: ObjectName | None = None
    """Namespace of the resources; default own."""


class AlertSpec(Part, frozen=True):
    """Which events are told to which Provider."""

    event_sources: tuple[EventSource, ...]
    """Whose events count."""
    provider_ref: LocalRef
    """Provider in the same namespace."""
    event_metadata: dict[str, str] = {}
    """More metadata for the events."""
    event_severity: Literal["info", "error"] = "info"
    """info tells everything, error only errors."""
    exclusion_list: tuple[str, ...] = ()
    """Regular expressions; a message that matches any is not told."""
    inclusion_list: tuple[str, ...] = ()
    """Regular expressions; a message must match one of them to be told."""
    summary: Annotated[str, Meta(max_length=255)] | None = None
    """Deprecated; use the key `summary` in eventMetadata."""
    suspend: bool = False
    """Tell nothing until it is false again."""
