"""Which resources a webhook means."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.notification import ReceiverSpec
from fleetbeat.errors import FleetbeatError, InvalidExpression, InvalidSpec
from fleetbeat.notify.delivery import Delivery, WebhookRefused
from fleetbeat.notify.receiver import check_spec, select, webhook_path

pytestmark = pytest.mark.unit


def obj(name: str, namespace: str = "apps", kind: str = "GitRepository", **labels: str) -> dict[str, Any]:
    """A registered resource."""
    meta = {"name": name, "namespace": namespace, "labels": labels, "annotations": {"tag": f"registry/{name}"}}
    return {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind, "metadata": meta, "spec": {"url": "secret"}}


REGISTRY = [
    obj("web", team="a"),
    obj("api", team="a"),
    obj("db", team="b"),
    obj("other", "elsewhere", team="a"),
    obj("web", kind="Bucket"),
]


def find(kind: str, namespace: str, name: str) -> Iterable[Mapping[str, Any]]:
    """The registry as the web server hands it in."""
    for item in REGISTRY:
        meta = item["metadata"]
        if item["kind"] == kind and meta["namespace"] == namespace and name in ("*", meta["name"]):
            yield item


def spec(*resources: dict[str, Any], **fields: Any) -> ReceiverSpec:
    """A generic Receiver."""
    whole = {"type": "generic", "secretRef": {"name": "token"}, "resources": list(resources), **fields}
    decoded: ReceiverSpec = decode_spec(KINDS["Receiver"], {"spec": whole})
    return decoded


def names(receiver: ReceiverSpec, body: bytes = b"", **options: bool) -> list[str]:
    """The chosen refs as text."""
    return [str(ref) for ref in select(receiver, "apps", Delivery({}, body), find, **options).refs]


def test_path_is_the_hash_of_token_name_and_namespace() -> None:
    """As Flux computes it, so that existing webhooks keep working."""
    expected = hashlib.sha256(b"tokennamens").hexdigest()
    assert webhook_path("token", "name", "ns") == f"/hook/{expected}"


def test_named_resources_default_to_the_receivers_namespace() -> None:
    """Another namespace must be written out."""
    chosen = names(
        spec({"kind": "GitRepository", "name": "web"}, {"kind": "Bucket", "name": "web", "namespace": "apps"})
    )
    assert chosen == ["GitRepository/apps/web", "Bucket/apps/web"]


def test_wildcards_need_labels_and_stay_in_their_namespace() -> None:
    """`*` with matchLabels selects by them."""
    chosen = names(spec({"kind": "GitRepository", "name": "*", "matchLabels": {"team": "a"}}))
    assert chosen == ["GitRepository/apps/web", "GitRepository/apps/api"]


def test_each_resource_is_woken_once() -> None:
    """However many entries name it."""
    entry = {"kind": "GitRepository", "name": "web"}
    assert names(spec(entry, entry, {**entry, "name": "*", "matchLabels": {"team": "a"}})) == [
        "GitRepository/apps/web",
        "GitRepository/apps/api",
    ]


def test_cross_namespace_entries_can_be_refused() -> None:
    """The others count all the same, and the refused one is told."""
    receiver = spec(
        {"kind": "GitRepository", "name": "other", "namespace": "elsewhere"}, {"kind": "GitRepository", "name": "web"}
    )
    assert names(receiver) == ["GitRepository/elsewhere/other", "GitRepository/apps/web"]
    chosen = select(receiver, "apps", Delivery({}, b""), find, cross_namespace=False)
    assert [str(ref) for ref in chosen.refs] == ["GitRepository/apps/web"]
    assert "spec.resources[0]" in chosen.problems[0]


def test_unregistered_resources_are_told() -> None:
    """A name that nobody reconciles is a problem of that entry only."""
    receiver = spec({"kind": "GitRepository", "name": "gone"}, {"kind": "GitRepository", "name": "web"})
    chosen = select(receiver, "apps", Delivery({}, b""), find)
    assert len(chosen.refs) == 1
    assert "GitRepository/apps/gone" in chosen.problems[0]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("res.metadata.name == req.repo", ["GitRepository/apps/web"]),
        ("req.tag.split('/').last().split(':').first() == res.metadata.name", ["GitRepository/apps/web"]),
        ("res.metadata.annotations['tag'].endsWith(req.repo)", ["GitRepository/apps/web"]),
        ("has(req.missing)", []),
        ("res.kind == 'Bucket'", []),
    ],
)
def test_filters_see_resource_and_request(expression: str, chosen: list[str]) -> None:
    """`res` is the resource's metadata, `req` the body."""
    body = b'{"repo": "web", "tag": "registry/web:1"}'
    entry = {"kind": "GitRepository", "name": "*", "matchLabels": {"team": "a"}}
    assert names(spec(entry, resourceFilter=expression), body) == chosen
    assert names(spec({**entry, "filter": expression}), body) == chosen


def test_both_filters_must_pass() -> None:
    """The Receiver's and the entry's."""
    entry = {"kind": "GitRepository", "name": "*", "matchLabels": {"team": "a"}, "filter": "res.metadata.name == 'web'"}
    assert names(spec(entry, resourceFilter="res.metadata.name == 'api'"), b"{}") == []


@pytest.mark.parametrize("expression", ["res.metadata.nothing == 'x'", "res.spec.url == 'secret'", "1 + 1", "x == 1"])
def test_filters_that_fail_choose_nothing(expression: str) -> None:
    """A missing field, the spec (which filters never see), a number, an unknown variable: a problem, not a match."""
    chosen = select(
        spec({"kind": "GitRepository", "name": "web", "filter": expression}), "apps", Delivery({}, b"{}"), find
    )
    assert chosen.refs == ()
    assert "spec.resources[0].filter" in chosen.problems[0]


def test_filters_need_a_json_body() -> None:
    """Without filters any body will do."""
    entry = {"kind": "GitRepository", "name": "web"}
    assert names(spec(entry), b"not json") == ["GitRepository/apps/web"]
    with pytest.raises(WebhookRefused):
        names(spec({**entry, "filter": "true"}), b"not json")


@pytest.mark.parametrize(
    ("receiver", "error", "field"),
    [
        (spec({"kind": "Bucket", "name": "*"}), InvalidSpec, r"spec.resources\[0\]"),
        (spec({"kind": "Bucket", "name": "b", "filter": "res."}), InvalidExpression, r"spec.resources\[0\].filter"),
        (spec({"kind": "Bucket", "name": "b"}, resourceFilter="1 +"), InvalidExpression, "spec.resourceFilter"),
        (spec({"kind": "Bucket", "name": "b"}, type="gitlab"), InvalidSpec, "spec.type"),
    ],
)
def test_what_can_never_work_is_found_beforehand(
    receiver: ReceiverSpec, error: type[FleetbeatError], field: str
) -> None:
    """The Receiver's own run names the field."""
    with pytest.raises(error, match=field):
        check_spec(receiver)


def test_good_specs_pass() -> None:
    """Nothing is raised."""
    check_spec(
        spec({"kind": "Bucket", "name": "*", "matchLabels": {"a": "b"}, "filter": "true"}, resourceFilter="true")
    )
