"""Downloads from the artifact servers of others, against a real HTTP server."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fleetbeat.errors import ArtifactFailed, ArtifactMoving
from fleetbeat.sources import remote
from fleetbeat.sources.remote import download
from workers.embedded import ports

pytestmark = pytest.mark.unit

CONTENT = b"artifact" * 1000


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/flaky` breaks the first connection."""

    broken = threading.Event()

    def do_GET(self) -> None:
        """`/moved` redirects, `/<number>` answers that status, everything else is the artifact."""
        name = self.path.rpartition("/")[2]
        if name == "flaky" and not self.broken.is_set():
            self.broken.set()
            self.close_connection = True
            return
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "/a/file.tar.gz")
            self.end_headers()
            return
        if name == "loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
            return
        if name == "file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        body = b"" if name.isdecimal() else CONTENT
        self.send_response(int(name) if name.isdecimal() else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The base URL."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["a/x.tar.gz", "a/sha256:ab.tar.gz", "a/chart-1.0.0+meta.tgz", "moved", "flaky"])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_the_bytes_arrive(server: str, path: str, size: int | None) -> None:
    """File names as Flux gives them, a redirect, and one broken connection."""
    file = io.BytesIO()
    download(f"{server}/{path}", size, file)
    assert file.getvalue() == CONTENT


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_file_is_being_replaced(server: str, status: int) -> None:
    """The source's status names the new one soon."""
    with pytest.raises(ArtifactMoving, match="being replaced") as caught:
        download(f"{server}/{status}", None, io.BytesIO())
    assert caught.value.retry_after == 30


@pytest.mark.parametrize(
    ("path", "message"), [("500", "HTTP 500"), ("403", "HTTP 403"), ("loop", "broke"), ("file", "broke")]
)
def test_other_answers_are_failures_that_may_pass(server: str, path: str, message: str) -> None:
    """Told with the status, and tried again before the interval."""
    with pytest.raises(ArtifactFailed, match=message) as caught:
        download(f"{server}/{path}", None, io.BytesIO())
    assert not isinstance(caught.value, ArtifactMoving)
    assert caught.value.retry_after == 15


def test_no_more_is_read_than_the_status_says(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor more than any artifact may have."""
    with pytest.raises(ArtifactFailed, match="more than the 10 bytes"):
        download(f"{server}/a", 10, io.BytesIO())
    monkeypatch.setattr(remote, "MAX_BYTES", 100)
    with pytest.raises(ArtifactFailed, match="more than the 100"):
        download(f"{server}/a", None, io.BytesIO())
    with pytest.raises(ArtifactFailed, match="more than the 100 allowed"):
        download(f"{server}/a", 1000, io.BytesIO())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "", "http://", "//host/x"])
def test_only_http_is_spoken(url: str) -> None:
    """Whatever a status says."""
    with pytest.raises(ArtifactFailed, match="not an http"):
        download(url, None, io.BytesIO())


def test_an_absent_server_is_said(server: str) -> None:
    """And asked again soon."""
    with pytest.raises(ArtifactFailed, match="does not take connections") as caught:
        download(f"http://127.0.0.1:{ports.reserve()}/x", None, io.BytesIO())
    assert caught.value.retry_after == 15
