"""What Kustomization and HelmRelease have in common: clusters, dependencies, health expressions, patches.

Owns the Structs only; what they mean is in `reconcile` and `kube`.
"""

from __future__ import annotations

from typing import Literal

from fleetbeat.api.meta import LocalRef, Part, Rule


class SecretKeyRef(Part, frozen=True):
    """A Secret that holds a kubeconfig."""

    name: str
    """Name of the Secret."""
    key: str | None = None
    """Key in the Secret; default `value`, then `value.yaml`."""


class KubeConfig(Part, frozen=True):
    """Another cluster than the hub; exactly one of the two references."""

    rules = (
        Rule(
            "has(self.configMapRef) != has(self.secretRef)",
            "spec.kubeConfig takes exactly one of configMapRef and secretRef",
        ),
    )

    config_map_ref: LocalRef | None = None
    """ConfigMap that describes access without a stored credential: provider, cluster, address and so on."""
    secret_ref: SecretKeyRef | None = None
    """Secret that holds a kubeconfig."""


class Dependency(Part, frozen=True):
    """A resource that must be ready first."""

    name: str
    """Name of the referent."""
    kind: Literal["Kustomization", "HelmRelease"] | None = None
    """Kind of the referent; default the own kind. Only Fleetbeat knows this field."""
    namespace: str | None = None
    """Namespace of the referent; default own."""
    ready_expr: str | None = None
    """CEL over `self` and `dep` that replaces the built-in check."""


class HealthCheckExpr(Part, frozen=True):
    """How the health of a kind is read, in CEL over the object; when nothing is true it is in progress."""

    api_version: str
    """Group and version; the group is what is matched."""
    current: str
    """True when the object is healthy; looked at last."""
    failed: str | None = None
    """True when the object has failed; looked at second."""
    in_progress: str | None = None
    """True while the object is being brought up; looked at first."""
    kind: str | None = None
    """Kind to match."""


class Selector(Part, frozen=True):
    """Objects by kustomize's rules; names are regular expressions, what is not set matches all."""

    annotation_selector: str | None = None
    """Kubernetes label selector over the annotations."""
    group: str | None = None
    """API group."""
    kind: str | None = None
    """Kind."""
    label_selector: str | None = None
    """Kubernetes label selector over the labels."""
    name: str | None = None
    """Name."""
    namespace: str | None = None
    """Namespace."""
    version: str | None = None
    """API version without the group."""


class Patch(Part, frozen=True):
    """A strategic merge or JSON 6902 patch."""

    patch: str
    """The patch as YAML."""
    target: Selector | None = None
    """Objects that it applies to; a strategic merge patch may name its object itself."""


class Image(Part, frozen=True):
    """Another name, tag or digest for an image."""

    name: str
    """Image name without tag, as the manifests have it."""
    digest: str | None = None
    """Digest to set; wins over the tag."""
    new_name: str | None = None
    """Name to set."""
    new_tag: str | None = None
    """Tag to set."""


class IgnoreRule(Part, frozen=True):
    """Fields that are left alone."""

    paths: tuple[str, ...]
    """JSON pointers, as in RFC 6901."""
    target: Selector | None = None
    """Objects that the rule is for; default all."""
