"""Registries that lie, stall, redirect or send too much."""

from __future__ import annotations

import io
import json

import msgspec
import pytest

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, OCIPullFailed
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.auth import Challenge, parse_challenge
from fleetbeat.sources.oci.limits import OciLimits
from fleetbeat.sources.oci.login import Access, Login
from fleetbeat.sources.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Document
from fleetbeat.sources.oci.push import WritableRegistry
from fleetbeat.sources.oci.reference import digest_of
from fleetbeat.sources.oci.registry import Registry
from tests.support import oci
from tests.support.fakeregistry import FakeRegistry, Reply, Request

pytestmark = pytest.mark.unit

SECRET = "hunter2"
DATA = b"some layer"
BLOB = Descriptor("text/plain", digest_of(DATA), len(DATA))
MANIFEST = msgspec.json.encode(Document(2, OCI_MANIFEST, layers=(BLOB,)))
DIGEST = digest_of(MANIFEST)
BASE = "/v2/org/app"
KIND = {"Content-Type": OCI_MANIFEST}


def reader(
    fake: FakeRegistry, login: Login | None = None, limits: OciLimits | None = None, seconds: float = 20
) -> Registry:
    """A client of the repository org/app."""
    access = Access(login or Login("robot", SECRET), insecure=True)
    repository = oci.repository(fake.host, "org/app")
    return Registry(repository, access, Deadline.after(seconds, OCIPullFailed), limits)


def manifest_of(body: bytes, kind: str = OCI_MANIFEST, **headers: str) -> Reply:
    """An answer with a manifest; underscores of header names stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(200, {"Content-Type": kind, **named}, body)


@pytest.mark.parametrize(
    "reply",
    [
        manifest_of(MANIFEST + b" "),
        manifest_of(b"not json"),
        manifest_of(b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        manifest_of(b"x" * 5000),
    ],
    ids=["other bytes", "no JSON", "schema 1", "too large"],
)
def test_manifest_of_another_digest_or_kind_is_refused(fake: FakeRegistry, reply: Reply) -> None:
    """What was asked for by digest has that digest, whatever the registry claims."""
    fake.on(f"{BASE}/manifests/{DIGEST}", reply)
    with pytest.raises(OCIPullFailed):
        reader(fake, limits=OciLimits(manifest_bytes=4000)).manifest(DIGEST)


@pytest.mark.parametrize(
    ("body", "kind", "fault"),
    [
        (b"{}", OCI_MANIFEST, "cannot be read"),
        (b'{"schemaVersion": 2, "layers": [{"digest": 1}]}', OCI_MANIFEST, "cannot be read"),
        (MANIFEST, OCI_INDEX, "says it is"),
        (b'{"schemaVersion": 2, "manifests": []}', OCI_MANIFEST, "not of its type"),
        (b'{"schemaVersion": 2}', "text/html", "text/html are not supported"),
        (b"\xff", OCI_MANIFEST, "cannot be read"),
    ],
)
def test_manifest_that_makes_no_sense_is_refused(fake: FakeRegistry, body: bytes, kind: str, fault: str) -> None:
    """Each with its own words."""
    fake.on(f"{BASE}/manifests/latest", manifest_of(body, kind))
    with pytest.raises(OCIPullFailed, match=fault):
        reader(fake).manifest("latest")


def test_tag_whose_digest_header_lies_is_refused(fake: FakeRegistry) -> None:
    """The registry's own claim is checked against the bytes."""
    fake.on(f"{BASE}/manifests/latest", manifest_of(MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64))
    with pytest.raises(OCIPullFailed, match="does not have the digest"):
        reader(fake).manifest("latest")


def test_digest_is_computed_where_the_registry_tells_none(fake: FakeRegistry) -> None:
    """A HEAD without Docker-Content-Digest is followed by a GET."""
    fake.on(f"{BASE}/manifests/latest", manifest_of(MANIFEST))
    assert reader(fake).resolve("latest").digest == DIGEST
    assert fake.paths() == [f"HEAD {BASE}/manifests/latest", f"GET {BASE}/manifests/latest"]


@pytest.mark.parametrize("body", [DATA + b"!", DATA[:-1], b"other data", b""])
def test_blob_of_other_bytes_is_refused(fake: FakeRegistry, body: bytes) -> None:
    """Longer, shorter or different."""
    fake.on(f"{BASE}/blobs/{BLOB.digest}", Reply(200, {}, body))
    with pytest.raises(OCIPullFailed):
        reader(fake).blob(BLOB, io.BytesIO())


def test_broken_transfer_is_told(fake: FakeRegistry) -> None:
    """A connection that ends early is no blob."""
    fake.on(f"{BASE}/blobs/{BLOB.digest}", Reply(200, {"Content-Length": "10", "Connection": "close"}, DATA[:4]))
    with pytest.raises(OCIPullFailed, match="blob"):
        reader(fake).blob(BLOB, io.BytesIO())


def test_redirected_blobs_come_without_the_login(fake: FakeRegistry) -> None:
    """The store behind a registry sees no Authorization; the digest still decides."""

    def guarded(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return Reply(401, {"WWW-Authenticate": 'Basic realm="it"'})
        return Reply(307, {"Location": f"http://localhost:{store.port}/blob?signature=x"})

    with FakeRegistry() as store:
        store.on("/blob", Reply(200, {}, DATA))
        fake.on(f"{BASE}/blobs/{BLOB.digest}", guarded)
        assert reader(fake).read_blob(BLOB, 100) == DATA
        assert ["authorization" in request.headers for request in store.seen] == [False]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/x"])
def test_redirects_elsewhere_are_refused(fake: FakeRegistry, target: str) -> None:
    """Other schemes and accounts in a URL; no part of the account is repeated."""
    fake.on(f"{BASE}/blobs/{BLOB.digest}", Reply(302, {"Location": target}))
    with pytest.raises(OCIPullFailed, match="not followed") as caught:
        reader(fake).read_blob(BLOB, 100)
    assert "u:p" not in caught.value.message


def test_redirects_without_end_end(fake: FakeRegistry) -> None:
    """Five are enough."""
    fake.on(f"{BASE}/blobs/{BLOB.digest}", Reply(302, {"Location": f"{BASE}/blobs/{BLOB.digest}"}))
    with pytest.raises(OCIPullFailed, match="redirects"):
        reader(fake).read_blob(BLOB, 100)
    assert len(fake.seen) == 6


def test_login_goes_to_no_unencrypted_token_server_elsewhere(fake: FakeRegistry) -> None:
    """A registry that names a stranger gets no token, and the stranger no login."""
    with FakeRegistry() as stranger:
        realm = f"http://localhost:{stranger.port}/token"
        challenge = f'Bearer realm="{realm}",service="x"'
        fake.on(f"{BASE}/manifests/latest", Reply(401, {"WWW-Authenticate": challenge}))
        with pytest.raises(OCIPullFailed, match="not encrypted"):
            reader(fake).resolve("latest")
        assert stranger.seen == []


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (Reply(200, {}, b'{"token": "a\\nb"}'), "no token"),
        (Reply(200, {}, b"{}"), "no token"),
        (Reply(200, {}, b"<html>"), "cannot be read"),
        (Reply(503), "503"),
        (Reply(403), "refused"),
        (Reply(302, {"Location": "https://elsewhere.example/"}), "302"),
    ],
)
def test_token_servers_may_be_broken(fake: FakeRegistry, reply: Reply, fault: str) -> None:
    """Each fault in its own words, none with the password."""
    fake.on("/token", reply)
    challenge = f'Bearer realm="http://{fake.host}/token",service="x"'
    fake.on(f"{BASE}/manifests/latest", Reply(401, {"WWW-Authenticate": challenge}))
    with pytest.raises(FleetbeatError, match=fault) as caught:
        reader(fake).resolve("latest")
    assert SECRET not in caught.value.message


def test_registry_that_never_takes_its_tokens_is_asked_twice(fake: FakeRegistry) -> None:
    """A fresh token that is refused ends the run."""
    fake.on("/token", Reply(200, {}, b'{"token": "t"}'))
    challenge = f'Bearer realm="http://{fake.host}/token",service="x"'
    fake.on(f"{BASE}/tags/list", Reply(401, {"WWW-Authenticate": challenge}))
    with pytest.raises(AuthenticationFailed):
        reader(fake).tags()
    assert fake.paths().count(f"GET {BASE}/tags/list") == 2


def test_what_one_account_learnt_is_not_for_another(fake: FakeRegistry) -> None:
    """A challenge under one trust decides nothing for another: who answers depends on the trust."""
    fake.on("/token", Reply(200, {}, b'{"token": "t"}'))
    challenge = f'Bearer realm="http://{fake.host}/token",service="x"'
    unlocked = lambda request: (  # noqa: E731
        manifest_of(MANIFEST, Docker_Content_Digest=DIGEST)
        if request.headers.get("authorization") == "Bearer t"
        else Reply(401, {"WWW-Authenticate": challenge})
    )
    fake.on(f"{BASE}/manifests/latest", unlocked)
    for login in (Login("a", "1"), Login("a", "1"), Login("b", "2")):
        reader(fake, login).resolve("latest")
    logins = [request.headers.get("authorization", "")[:5] for request in fake.seen if request.path == "/token"]
    assert len(logins) == 2


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("99999", 3600.0), ("", None), ("soon", None)])
def test_slow_down_is_heeded(fake: FakeRegistry, header: str, seconds: float | None) -> None:
    """429 carries Retry-After, an hour at most."""
    fake.on(f"{BASE}/manifests/latest", Reply(429, {"Retry-After": header} if header else {}))
    with pytest.raises(OCIPullFailed, match="slow down") as caught:
        reader(fake).resolve("latest")
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationFailed), (403, AuthenticationFailed), (500, OCIPullFailed)]
)
def test_refusals_by_status(fake: FakeRegistry, status: int, error: type[FleetbeatError]) -> None:
    """What the registry writes beside the status is not repeated."""
    fake.on(f"{BASE}/manifests/latest", Reply(status, {}, b"your password hunter2 is wrong"))
    with pytest.raises(error, match=str(status)) as caught:
        reader(fake).resolve("latest")
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "link",
    ['<http://localhost:1/v2/org/app/tags/list>; rel="next"', '<{base}/tags/list?n=2>; rel="next"'],
    ids=["another server", "itself"],
)
def test_pages_end_and_stay_at_home(fake: FakeRegistry, link: str) -> None:
    """A next page elsewhere is not followed; one without end is cut."""
    fake.on(f"{BASE}/tags/list", Reply(200, {"Link": link.format(base=BASE)}, b'{"tags": ["a"]}'))
    with pytest.raises(OCIPullFailed):
        reader(fake, limits=OciLimits(pages=10)).tags()
    assert len(fake.seen) <= 10


def test_list_of_tags_is_capped_and_checked(fake: FakeRegistry) -> None:
    """Names that are no tags are passed over; too much of it fails."""
    fake.on(f"{BASE}/tags/list", Reply(200, {}, json.dumps({"tags": ["ok", "../x", "a b", "ok"]}).encode()))
    assert reader(fake).tags() == ["ok"]
    with pytest.raises(OCIPullFailed, match="more than"):
        reader(fake, limits=OciLimits(listing_bytes=10)).tags()


def test_referrers_api_is_filtered_by_us_as_well(fake: FakeRegistry) -> None:
    """Registries may ignore the type that was asked for."""
    found = [{"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1, "artifactType": kind} for kind in ("a/b", "c/d")]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}).encode()
    fake.on(f"{BASE}/referrers/{DIGEST}", Reply(200, {"Content-Type": OCI_INDEX}, index))
    assert [one.artifact_type for one in reader(fake).referrers(DIGEST, "a/b")] == ["a/b"]
    assert fake.seen[-1].query == "artifactType=a%2Fb"


def test_deadline_ends_a_slow_answer(fake: FakeRegistry) -> None:
    """Nothing is asked after it."""
    registry = reader(fake, seconds=0)
    with pytest.raises(OCIPullFailed, match=r"spec\.timeout"):
        registry.resolve("latest")
    assert fake.seen == []


def test_uploads_go_nowhere_else(fake: FakeRegistry) -> None:
    """A place for an upload on another server is refused."""
    fake.on(f"{BASE}/blobs/uploads/", Reply(202, {"Location": "http://localhost:1/put"}))
    access = Access(Login("robot", SECRET), insecure=True)
    registry = WritableRegistry(oci.repository(fake.host, "org/app"), access, Deadline.after(20, OCIPullFailed))
    with pytest.raises(OCIPullFailed, match="no place of its own"):
        registry.push_blob(BLOB.digest, BLOB.size, io.BytesIO(DATA))


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Bearer realm="https://a/token",service="s"', Challenge("https://a/token", "s")),
        ('bearer service="s", realm=https://a/token', Challenge("https://a/token", "s")),
        ('Basic realm="x", Bearer realm="https://a?x=\\"1\\"",scope="y"', Challenge('https://a?x="1"', "")),
        ('Basic realm="x"', Challenge()),
        ("Basic", Challenge()),
        ("Negotiate", None),
        ("Bearer", None),
        ("", None),
    ],
)
def test_challenges(header: str, challenge: Challenge | None) -> None:
    """What WWW-Authenticate asks for."""
    assert parse_challenge(header) == challenge
