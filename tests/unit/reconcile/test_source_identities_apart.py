"""Sources that log in to a cloud as different service accounts: what one of them has or sees is never another's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.kube import vendorlogins
from fleetbeat.reconcile.ocisweep import FollowedTag, Way, lookups_of
from fleetbeat.sources.oci.reference import Repository
from tests.support.fakeregistry import FakeRegistry
from tests.support.scriptedhub import Accounts, scripted_hub
from tests.support.sourcelogins import (
    AWS,
    REGISTRIES,
    bucket,
    context,
    git,
    registry,
    registry_spec,
    soon,
)

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("worker")]


@pytest.mark.parametrize("log_in", [git, registry])
def test_two_accounts_share_nothing(log_in: Any, sts: list[Any], ecr: FakeRegistry) -> None:
    """Although a cloud gives both the same, what one is told serves nobody else: not the worker either."""
    with scripted_hub(AWS) as hub:
        ctx = context(hub)
        one, same, other, own = (log_in(ctx, "aws", name) for name in ("one", "one", "other", None))
    assert one == same
    assert len({one.fingerprint, other.fingerprint, own.fingerprint}) == 3
    assert one != other and one != own


def test_looks_are_shared_by_one_account_only(sts: list[Any], ecr: FakeRegistry) -> None:
    """A sweep asks the registry once for each."""
    repository = Repository.parse(REGISTRIES["aws"])

    def followed(ref: str, name: str) -> FollowedTag:
        way = Way("apps", repository, registry_spec("aws", name))
        return FollowedTag(ref, cast(Any, None), way, None, "latest@sha256:1", 15.0)

    sources = [followed("a", "one"), followed("b", "one"), followed("c", "other")]
    with scripted_hub(AWS) as hub, ThreadPoolExecutor(2) as pool:
        lookups, lost = lookups_of(context(hub), pool, sources, soon())
    assert not lost
    assert sorted(lookup.refs for lookup in lookups) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("log_in", [git, registry])
def test_a_login_ends_with_its_account(log_in: Any, sts: list[Any], ecr: FakeRegistry) -> None:
    """Another account of that name logs in by itself, and one that lost its annotation does not."""
    accounts = Accounts(AWS)
    with scripted_hub(accounts) as hub:
        ctx = context(hub)
        first = log_in(ctx, "aws")
        accounts.uid = "2"
        assert log_in(ctx, "aws").fingerprint != first.fingerprint
        assert len(sts) == 2
        accounts.annotations = {}
        with pytest.raises(AuthenticationFailed, match=vendorlogins.ROLE):
            log_in(ctx, "aws")


def test_nothing_secret_is_shown(sts: list[Any], ecr: FakeRegistry) -> None:
    """By whoever prints an account."""
    with scripted_hub(AWS) as hub:
        ctx = context(hub)
        shown = repr([log_in(ctx, "aws") for log_in in (git, registry, bucket)])
    assert not [word for word in ("secret", "hidden", "session", "for-sts") if word in shown.replace("secret_", "")]
