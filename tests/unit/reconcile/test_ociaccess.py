"""Where an account of a registry comes from, as far as no Secret is read for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleetbeat.api.source import OCIRepositorySpec
from fleetbeat.errors import OCIPullFailed, Terminal, UnsupportedProvider
from fleetbeat.reconcile.ociaccess import access_of
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.reference import Repository

pytestmark = pytest.mark.unit

HOSTS = {"aws": "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "azure": "fleet.azurecr.io", "gcp": "gcr.io"}


class Nobody:
    """A hub that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the hub was asked: {name}")


@pytest.mark.parametrize("provider", sorted(HOSTS))
def test_the_cloud_identity_of_a_service_account_is_refused(provider: str) -> None:
    """Stalled, with what to do; the worker's own identity is not used in its place."""
    url = f"oci://{HOSTS[provider]}/apps"
    wire = {"interval": "1m", "url": url, "provider": provider, "serviceAccountName": "deployer"}
    spec = msgspec.convert(wire, OCIRepositorySpec)
    with pytest.raises(
        UnsupportedProvider, match=r"serviceAccountName is not supported.*use the worker's own"
    ) as raised:
        access_of(Nobody(), "apps", spec, Repository.parse(url), Deadline.after(5, OCIPullFailed))  # type: ignore[arg-type]
    assert isinstance(raised.value, Terminal)
