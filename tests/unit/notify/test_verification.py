"""Whether a webhook is believed."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.notification import ReceiverSpec
from fleetbeat.errors import InvalidSpec
from fleetbeat.notify.delivery import MAX_BODY, Delivery, WebhookRefused
from fleetbeat.notify.verification import verify

pytestmark = pytest.mark.unit

TOKEN = "s3cret"
BODY = b'{"ref":"refs/heads/main"}'


def spec(type_: str, **fields: object) -> ReceiverSpec:
    """A Receiver of that type."""
    resources = [{"kind": "GitRepository", "name": "apps"}]
    whole = {"spec": {"type": type_, "secretRef": {"name": "token"}, "resources": resources, **fields}}
    decoded: ReceiverSpec = decode_spec(KINDS["Receiver"], whole)
    return decoded


def sign(algorithm: str, token: str = TOKEN, body: bytes = BODY) -> str:
    """The header value that a sender computes."""
    return f"{algorithm}={hmac.new(token.encode(), body, getattr(hashlib, algorithm)).hexdigest()}"


def delivery(body: bytes = BODY, **headers: str) -> Delivery:
    """A webhook with those headers, underscores for dashes."""
    return Delivery({name.replace("_", "-").lower(): value for name, value in headers.items()}, body)


def test_generic_believes_everybody_who_knows_the_path() -> None:
    """The path is made from the token, so that is enough."""
    verify(spec("generic"), TOKEN, delivery())


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_generic_hmac_accepts_each_algorithm(algorithm: str) -> None:
    """A signature over the body with the token as key is believed."""
    verify(spec("generic-hmac"), TOKEN, delivery(X_Signature=sign(algorithm)))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Signature": ""},
        {"X_Signature": "sha256="},
        {"X_Signature": "sha256=00"},
        {"X_Signature": sign("sha256", token="other")},
        {"X_Signature": sign("sha256", body=b"{}")},
        {"X_Signature": sign("sha256").removeprefix("sha256=")},
        {"X_Signature": sign("md5").replace("md5", "sha1")},
        {"X_Signature": sign("md5")},
        {"X_Signature": "sha256=" + "é" * 64},
    ],
)
def test_generic_hmac_refuses_everything_else(headers: dict[str, str]) -> None:
    """No signature, a wrong one, one over another body or of an unknown algorithm: refused."""
    with pytest.raises(WebhookRefused, match="X-Signature"):
        verify(spec("generic-hmac"), TOKEN, delivery(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Hub_Signature_256": sign("sha256")},
        {"X_Hub_Signature": sign("sha1")},
        {"X_Hub_Signature_256": sign("sha256"), "X_Hub_Signature": "sha1=00"},
    ],
)
def test_github_prefers_the_stronger_signature(headers: dict[str, str]) -> None:
    """GitHub sends both headers; the sha256 one decides."""
    verify(spec("github"), TOKEN, delivery(**headers, X_GitHub_Event="push"))


def test_github_refuses_a_wrong_strong_signature_beside_a_right_weak_one() -> None:
    """Nobody can fall back to sha1."""
    with pytest.raises(WebhookRefused):
        verify(spec("github"), TOKEN, delivery(X_Hub_Signature_256="sha256=00", X_Hub_Signature=sign("sha1")))


@pytest.mark.parametrize(("event", "believed"), [("push", True), ("PUSH", True), ("ping", False), ("", False)])
def test_github_events_outside_the_list_are_refused(event: str, believed: bool) -> None:
    """`spec.events` counts without regard to case."""
    signed = delivery(X_Hub_Signature_256=sign("sha256"), X_GitHub_Event=event)
    if believed:
        verify(spec("github", events=["Push"]), TOKEN, signed)
    else:
        with pytest.raises(WebhookRefused, match=r"not in spec\.events"):
            verify(spec("github", events=["Push"]), TOKEN, signed)


@pytest.mark.parametrize("type_", ["generic-hmac", "github"])
def test_an_empty_token_signs_nothing(type_: str) -> None:
    """Everybody could compute a signature with an empty key."""
    header = {"X_Signature": sign("sha256", token=""), "X_Hub_Signature_256": sign("sha256", token="")}
    with pytest.raises(WebhookRefused, match="empty"):
        verify(spec(type_), "", delivery(**header))


def test_large_bodies_are_refused() -> None:
    """Beyond 3 MiB nothing is hashed."""
    with pytest.raises(WebhookRefused, match="larger"):
        verify(spec("generic"), TOKEN, delivery(b"x" * (MAX_BODY + 1)))


@pytest.mark.parametrize("type_", ["gitlab", "harbor", "nexus", "cdevents"])
def test_other_types_are_named_as_unsupported(type_: str) -> None:
    """The message says what can be used instead."""
    with pytest.raises(InvalidSpec, match=rf"'{type_}' is not supported yet; use one of generic, generic-hmac, github"):
        verify(spec(type_), TOKEN, delivery())


def test_github_form_bodies_are_decoded() -> None:
    """GitHub can send the JSON as a form field."""
    form = Delivery({"content-type": "application/x-www-form-urlencoded"}, b"payload=%7B%22ref%22%3A%22x%22%7D")
    assert form.json() == {"ref": "x"}
    with pytest.raises(WebhookRefused):
        Delivery({}, b"not json").json()
