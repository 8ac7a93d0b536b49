"""An artifact server of somebody else: files by path over plain HTTP, as source-controller serves them."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from fleetbeat.artifacts.archive import Entry, write_archive


class FileServer:
    """Files in memory; `requests` are the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def archive(self, path: str, revision: str, texts: Mapping[str, str], algorithm: str = "sha256") -> dict[str, Any]:
        """Serve an archive of `texts` (path → content); returns it as `status.artifact`."""
        entries = [Entry(name, text.encode().strip) for name, text in texts.items()]
        with closing(write_archive(entries, io.BytesIO())) as archive:
            self.files[f"/{path}"] = content = archive.file.read()
        return {
            "path": path,
            "url": f"{self.url}/{path}",
            "revision": revision,
            "digest": f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}",
            "lastUpdateTime": "2026-01-01T00:00:01Z",
            "size": len(content),
        }

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(self.path)
            body = server.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            """Nothing."""

    return Handler
