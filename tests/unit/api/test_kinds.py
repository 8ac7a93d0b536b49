"""The registry of kinds: names, versions and paths as Flux 2.9 has them."""

from __future__ import annotations

import pytest

from fleetbeat.api.kinds import KINDS, OWNED_BY_DEFAULT

pytestmark = pytest.mark.unit

WIRE = {
    "GitRepository": ("source.toolkit.fluxcd.io/v1", "gitrepositories", ("gitrepo",)),
    "OCIRepository": ("source.toolkit.fluxcd.io/v1", "ocirepositories", ("ocirepo",)),
    "HelmRepository": ("source.toolkit.fluxcd.io/v1", "helmrepositories", ("helmrepo",)),
    "HelmChart": ("source.toolkit.fluxcd.io/v1", "helmcharts", ("hc",)),
    "Bucket": ("source.toolkit.fluxcd.io/v1", "buckets", ()),
    "ExternalArtifact": ("source.toolkit.fluxcd.io/v1", "externalartifacts", ("ea",)),
    "ArtifactGenerator": ("source.extensions.fluxcd.io/v1beta1", "artifactgenerators", ("ag",)),
    "Kustomization": ("kustomize.toolkit.fluxcd.io/v1", "kustomizations", ("ks",)),
    "HelmRelease": ("helm.toolkit.fluxcd.io/v2", "helmreleases", ("hr",)),
    "Receiver": ("notification.toolkit.fluxcd.io/v1", "receivers", ()),
    "Provider": ("notification.toolkit.fluxcd.io/v1beta3", "providers", ()),
    "Alert": ("notification.toolkit.fluxcd.io/v1beta3", "alerts", ()),
    "ImageRepository": ("image.toolkit.fluxcd.io/v1", "imagerepositories", ("imgrepo", "imagerepo")),
    "ImagePolicy": ("image.toolkit.fluxcd.io/v1", "imagepolicies", ("imgpol", "imagepol")),
    "ImageUpdateAutomation": ("image.toolkit.fluxcd.io/v1", "imageupdateautomations", ("iua", "imgupd", "imgauto")),
}


def test_all_fifteen_kinds_have_their_names_on_the_wire() -> None:
    """Group, version, plural and short names."""
    assert {name: (k.api_version, k.plural, k.short_names) for name, k in KINDS.items()} == WIRE


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_listed_with_all_with_fluxcd_and_with_its_like(name: str) -> None:
    """`kubectl get all`, `fluxcd` and one category of its own."""
    assert KINDS[name].singular == name.lower()
    assert KINDS[name].categories[:2] == ("all", "fluxcd")
    assert KINDS[name].categories[2] in {
        "fluxcd-sources",
        "fluxcd-appliers",
        "fluxcd-notifications",
        "fluxcd-images",
    }


def test_provider_and_alert_alone_have_no_status() -> None:
    """They count as always ready."""
    assert {name for name, kind in KINDS.items() if not kind.has_status} == {"Provider", "Alert"}


def test_finalizers() -> None:
    """One for most; its own for ArtifactGenerator; none where others own the object or nothing is to be cleaned up."""
    others = {name: kind.finalizer for name, kind in KINDS.items() if kind.finalizer != "finalizers.fluxcd.io"}
    assert others == {
        "ExternalArtifact": "",
        "Alert": "",
        "ArtifactGenerator": "source.extensions.fluxcd.io/finalizer",
    }


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ((), "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"),
        (("apps",), "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/apps/kustomizations"),
        (("apps", "shop"), "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/apps/kustomizations/shop"),
        (
            ("apps", "shop", "status"),
            "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/apps/kustomizations/shop/status",
        ),
    ],
)
def test_paths(where: tuple[str, ...], path: str) -> None:
    """Of all namespaces, of one, of an object and of its subresource."""
    assert KINDS["Kustomization"].path(*where) == path


def test_what_is_owned_is_known() -> None:
    """Every kind that something reconciles is a kind."""
    assert set(OWNED_BY_DEFAULT) <= set(KINDS)
