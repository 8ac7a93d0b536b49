"""A repository of The Update Framework on 127.0.0.1: what Sigstore publishes its trusted root with."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

ROLES = ("root", "timestamp", "snapshot", "targets")


class TufServer:
    """One target; `publish` writes a new version of it. `paths` is the log of its requests."""

    def __init__(self, name: str, content: bytes) -> None:
        self.signer = CryptoSigner.generate_ecdsa()
        self.files: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.delay = threading.Event()
        """Set: nothing is answered."""
        self.version = 0
        self._stop = threading.Event()
        self.root = self._root()
        self.publish(name, content)
        self._http = _Http(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def publish(self, name: str, content: bytes, life: timedelta = timedelta(days=1)) -> None:
        """The target has this content now; `life` is how long that may be believed."""
        self.version += 1
        expires = datetime.now(UTC).replace(microsecond=0) + life
        target = TargetFile.from_data(name, content, ["sha256"])
        targets = Targets(self.version, expires=expires, targets={name: target})
        snapshot = Snapshot(self.version, expires=expires, meta={"targets.json": MetaFile(self.version)})
        timestamp = Timestamp(self.version, expires=expires, snapshot_meta=MetaFile(self.version))
        self.files[f"/targets/{hashlib.sha256(content).hexdigest()}.{name}"] = content
        self.files[f"/{self.version}.targets.json"] = self._signed(targets)
        self.files[f"/{self.version}.snapshot.json"] = self._signed(snapshot)
        self.files["/timestamp.json"] = self._signed(timestamp)

    def _root(self) -> bytes:
        root = Root(1, expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1), consistent_snapshot=True)
        for role in ROLES:
            root.add_key(self.signer.public_key, role)
        return self._signed(root)

    def _signed(self, part: Signed) -> bytes:
        metadata = Metadata(part)
        metadata.sign(self.signer)
        return metadata.to_bytes()

    def __enter__(self) -> TufServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="tuf", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str) -> bytes | None:
        """What is sent; None: nothing is there."""
        self.paths.append(path)
        if self.delay.is_set():
            self._stop.wait(30)
        return self.files.get(path)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, server: TufServer) -> None:
        self.tuf = server
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: a client that went away is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        found = self.server.tuf.answer(self.path)
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
