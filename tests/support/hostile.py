"""Git content and servers that no decent tool makes: raw objects, crafted packs, answers by script."""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dulwich.objects import Blob, Commit, ObjectID, ShaFile
from dulwich.refs import Ref
from dulwich.repo import Repo

from tools.gitrepo import GitRepo

RawEntry = tuple[bytes, bytes, str]
"""Mode as text, name, id of the object."""


def add(repo: GitRepo, kind: int, data: bytes) -> str:
    """Store an object of any content; returns its id. Kinds: 1 commit, 2 tree, 3 blob."""
    with Repo(str(repo.path)) as opened:
        found = ShaFile.from_raw_string(kind, data)
        opened.object_store.add_object(found)
        return found.id.decode()


def add_tree(repo: GitRepo, *entries: RawEntry) -> str:
    """A tree with exactly these entries, however absurd."""
    return add(repo, 2, b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(id)) for mode, name, id in entries))


def add_blob(repo: GitRepo, data: bytes = b"x: 1\n") -> str:
    """A blob."""
    with Repo(str(repo.path)) as opened:
        blob = Blob.from_string(data)
        opened.object_store.add_object(blob)
        return blob.id.decode()


def commit_tree(repo: GitRepo, tree: str, branch: str = "main") -> str:
    """A commit of that tree, without parents, as the branch's head."""
    commit = Commit()
    commit.tree = ObjectID(tree.encode())
    commit.author = commit.committer = b"Mallory <m@example.com>"
    commit.author_time = commit.commit_time = 1
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"hostile"
    with Repo(str(repo.path)) as opened:
        opened.object_store.add_object(commit)
        opened.refs[Ref(f"refs/heads/{branch}".encode())] = commit.id
    return commit.id.decode()


def pack(*objects: bytes, count: int | None = None) -> bytes:
    """A pack of finished objects with a right checksum; `count` lies about how many there are."""
    body = struct.pack(">4sLL", b"PACK", 2, len(objects) if count is None else count) + b"".join(objects)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def packed(kind: int, data: bytes, *, claim: int | None = None, base: bytes = b"") -> bytes:
    """One object of a pack: type number, content, a false size, and for a delta what it builds on."""
    return object_header(kind, len(data) if claim is None else claim) + base + zlib.compress(data, 9)


def object_header(kind: int, size: int) -> bytes:
    first, rest = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while rest:
        out.append(first | 0x80)
        first, rest = rest & 0x7F, rest >> 7
    return bytes([*out, first])


def distance(value: int) -> bytes:
    """The base of an offset delta."""
    out = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        out.insert(0, 0x80 | (value & 0x7F))
    return bytes(out)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes([*out, value])


def repeat_delta(base_size: int, copies: int) -> bytes:
    """A delta that puts `copies` whole copies (of at most 64 KiB) of its base after each other."""
    length = min(base_size, 0xFFFF)
    copy = bytes([0x80 | 0x30, length & 0xFF, length >> 8])
    return varint(base_size) + varint(copies * length) + copy * copies


Answer = Callable[[BaseHTTPRequestHandler], None]


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up on a hostile server do what they should."""


@contextmanager
def scripted_server(answer: Answer) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that does what `answer` says; yields its URL and the headers of all requests, names in lower case."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(
    handler: BaseHTTPRequestHandler, body: bytes = b"", *, status: int = 200, kind: str = "", location: str = ""
) -> None:
    """Send one whole answer."""
    handler.send_response(status)
    if kind:
        handler.send_header("Content-Type", kind)
    if location:
        handler.send_header("Location", location)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
