"""Which tag or digest a spec follows."""

from __future__ import annotations

import pytest

from fleetbeat.api.source import OCIRef
from fleetbeat.errors import InvalidSpec, OCIPullFailed
from fleetbeat.sources.oci.pick import pick
from tests.support import oci
from tools.registry import RegistryServer

pytestmark = pytest.mark.unit

TAGS = ("latest", "1.0.0", "1.1.0-rc.1", "1.2.0_build.7", "v2.0.0", "2.1", "not-a-version", "1.1.0-staging")


@pytest.fixture(scope="module")
def pushed(registries: object) -> RegistryServer:
    """A repository with all TAGS, each with content of its own."""
    server: RegistryServer = registries("plain")  # type: ignore[operator]
    for tag in TAGS:
        oci.push(server, "org/pick", tag, {"tag": tag})
    return server


@pytest.mark.parametrize(
    ("ref", "tag"),
    [
        (None, "latest"),
        (OCIRef(), "latest"),
        (OCIRef(tag="1.0.0"), "1.0.0"),
        (OCIRef(tag="1.2.0+build.7"), "1.2.0_build.7"),
        (OCIRef(semver="1.x", tag="latest"), "1.2.0_build.7"),
        (OCIRef(semver="*"), "v2.0.0"),
        (OCIRef(semver=">=1.0.0-0 <1.2.0-0"), "1.1.0-staging"),
        (OCIRef(semver=">=1.0.0-0", semver_filter=".*-rc.*"), "1.1.0-rc.1"),
    ],
)
def test_field_that_is_set_decides(pushed: RegistryServer, ref: OCIRef | None, tag: str) -> None:
    """semver before tag before latest; the filter comes before the range."""
    registry = oci.client(pushed.host, "org/pick")
    found = pick(registry, ref)
    assert found.tag == tag
    assert found.revision == f"{tag}@{registry.resolve(tag).digest}"


def test_digest_beats_all(pushed: RegistryServer) -> None:
    """And its revision has no tag."""
    registry = oci.client(pushed.host, "org/pick")
    digest = registry.resolve("1.0.0").digest
    found = pick(registry, OCIRef(digest=digest, semver="2.x", tag="latest"))
    assert (found.tag, found.revision) == ("", digest)


@pytest.mark.parametrize(
    "ref",
    [
        OCIRef(digest="sha256:abc"),
        OCIRef(tag="a b"),
        OCIRef(semver="new"),
        OCIRef(semver="*", semver_filter="("),
    ],
)
def test_nonsense_is_the_specs_fault(pushed: RegistryServer, ref: OCIRef) -> None:
    """Nothing but another spec helps."""
    with pytest.raises(InvalidSpec, match=r"spec\.ref\."):
        pick(oci.client(pushed.host, "org/pick"), ref)


def test_range_without_a_tag_waits_for_one(pushed: RegistryServer) -> None:
    """The message names range and filter."""
    with pytest.raises(OCIPullFailed, match=r"'>=9'.*'x'"):
        pick(oci.client(pushed.host, "org/pick"), OCIRef(semver=">=9", semver_filter="x"))
