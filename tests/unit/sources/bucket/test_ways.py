"""Ways to a bucket: TLS with an authority of one's own, client certificates, proxies, temporary keys."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fleetbeat.errors import AuthenticationFailed, BucketFailed
from fleetbeat.sources.bucket import Access, Bucket, BucketResult, client, fetch
from fleetbeat.sources.bucket.access import Keys
from fleetbeat.sources.credentials import Proxy as ProxyAccount
from fleetbeat.sources.deadline import Deadline
from tools.pki import Authority
from tools.proxy import Proxy
from workers.embedded.s3 import EmbeddedS3

pytestmark = pytest.mark.unit

NAME = "ways"


@pytest.fixture(scope="module")
def bucket(s3: EmbeddedS3) -> Bucket:
    """An empty bucket, which is enough to be let in or not."""
    s3.create_bucket(NAME)
    return Bucket(s3.endpoint.removeprefix("http://"), NAME, insecure=True)


@pytest.fixture(scope="module")
def keys(s3: EmbeddedS3) -> Keys:
    """The administrator's."""
    return Keys(s3.access_key, s3.secret_key)


def look(bucket: Bucket, access: Access, scratch: Path) -> BucketResult:
    """One look at a bucket that is as it was."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    return fetch(bucket, access, observed=empty, scratch=scratch, deadline=Deadline.after(30, BucketFailed))


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whom nobody trusts by default."""
    return Authority("bucket authority")


@pytest.fixture(scope="module")
def secured(
    bucket: Bucket, s3: EmbeddedS3, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bucket]:
    """The same server behind TLS that asks for a client certificate."""
    folder = tmp_path_factory.mktemp("tls")
    pair = authority.server("127.0.0.1")
    (folder / "server.pem").write_bytes(pair.certificate + pair.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener, context, s3.port), daemon=True).start()
    yield Bucket(f"127.0.0.1:{listener.getsockname()[1]}", NAME)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_forward, args=(connection, context, port), daemon=True).start()


def _forward(connection: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """TLS ends here; what is asked is small, so it is there after the first read."""
    with connection, socket.create_connection(("127.0.0.1", port), 30) as upstream:
        try:
            with context.wrap_socket(connection, server_side=True) as plain:
                while data := plain.recv(65536):
                    upstream.sendall(data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                    while answer := upstream.recv(65536):
                        plain.sendall(answer)
                    return
        except (ssl.SSLError, OSError):
            return


def test_an_authority_and_a_client_certificate_of_the_secret(
    secured: Bucket, authority: Authority, keys: Keys, tmp_path: Path
) -> None:
    """Both are used, and neither stays on the disk."""
    pair = authority.client("fleetbeat")
    access = Access(keys=keys, ca=authority.certificate, certificate=pair.certificate, key=pair.key)
    assert look(secured, access, tmp_path).files == 0
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_authority_is_refused(secured: Bucket, keys: Keys, tmp_path: Path) -> None:
    """With a word about certSecretRef."""
    with pytest.raises(BucketFailed, match=r"TLS failed; check spec\.certSecretRef"):
        look(secured, Access(keys=keys), tmp_path)


def test_a_server_that_wants_a_certificate_gets_none(
    secured: Bucket, authority: Authority, keys: Keys, tmp_path: Path
) -> None:
    """An authority alone is not enough for it."""
    with pytest.raises(BucketFailed):
        look(secured, Access(keys=keys, ca=authority.certificate), tmp_path)


def test_a_proxy_with_a_login(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    """Everything goes through it; a wrong login is told without the password."""
    with Proxy("http", ("me", "p@ss:word/")) as proxy:
        right = ProxyAccount(proxy.address, "me", "p@ss:word/")
        assert look(bucket, Access(keys=keys, proxy=right), tmp_path).files == 0
        assert proxy.seen
        assert set(proxy.seen) == {bucket.endpoint}
        wrong = ProxyAccount(proxy.address, "me", "very-hidden")
        with pytest.raises((BucketFailed, AuthenticationFailed)) as caught:
            look(bucket, Access(keys=keys, proxy=wrong), tmp_path)
        assert proxy.refused
        assert "very-hidden" not in caught.value.message


class Sts(BaseHTTPRequestHandler):
    """Gives the keys that the class was given for any web identity."""

    keys: Keys
    asked: dict[str, list[str]] = {}

    def do_POST(self) -> None:
        """AssumeRoleWithWebIdentity."""
        self.asked.update(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.asked["Authorization"] = [self.headers.get("Authorization", "")]
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{self.keys.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{self.keys.secret_key}</SecretAccessKey><SessionToken>session</SessionToken>"
            "<Expiration>2126-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def test_the_workers_web_identity_is_exchanged_for_keys(
    bucket: Bucket, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the service that the spec names, by the role and the token that the platform gave the worker."""
    token = tmp_path / "token"
    token.write_text("web-token\n")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    handler = type("Handler", (Sts,), {"keys": keys})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        access = Access(ambient=True, sts=f"http://127.0.0.1:{server.server_port}")
        found = client._temporary_keys(bucket, access, 10)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert found == Keys(keys.access_key, keys.secret_key, "session")
    assert Sts.asked["WebIdentityToken"] == ["web-token"]
    assert Sts.asked["RoleArn"] == ["arn:aws:iam::1:role/reader"]
    assert Sts.asked["Authorization"] == [""]
