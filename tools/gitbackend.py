"""The two programs that can answer Git's smart HTTP protocol over a folder of bare repositories."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """One HTTP request, its body complete; `path` begins with the repository's name."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def environment(self) -> dict[str, str]:
        """The request as CGI variables, but for its path; a compressed body is the caller's to unpack."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {
            "REQUEST_METHOD": self.method,
            "QUERY_STRING": self.query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(self.plain_body())),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "HTTP_GIT_PROTOCOL": headers.get("git-protocol", ""),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "bench",
        }

    def plain_body(self) -> bytes:
        """The body after its Content-Encoding is undone."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return gzip.decompress(self.body) if headers.get("content-encoding") == "gzip" else self.body


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def git(directory: Path, request: Request) -> Reply:
    """Answer with `git http-backend`, which reads neither the user's nor the system's Git configuration."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PROJECT_ROOT": str(directory),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": request.path,
        "PATH_TRANSLATED": f"{directory}{request.path}",
        **request.environment(),
    }
    command = ["git", "http-backend"]
    output = subprocess.run(
        command, input=request.plain_body(), env=environment, capture_output=True, timeout=120, check=False
    ).stdout
    head, _, body = output.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    status = int(headers.pop("Status", "200").split()[0]) if output else 500
    return Reply(status, headers, body)


def dulwich(directory: Path, request: Request) -> Reply:
    """Answer with dulwich's server, which knows protocol version 1 only."""
    from dulwich.repo import Repo
    from dulwich.server import BackendRepo, DictBackend
    from dulwich.web import make_wsgi_chain

    name = request.path.strip("/").split("/", 1)[0]
    if not (directory / name).is_dir():
        return Reply(404, {}, b"")
    with Repo(str(directory / name)) as repo:
        served: dict[str, BackendRepo] = {f"/{name}": repo}
        return _wsgi(make_wsgi_chain(DictBackend(served)), request)


def _wsgi(application: Callable[..., Any], request: Request) -> Reply:
    written = io.BytesIO()
    answer: list[tuple[int, dict[str, str]]] = []

    def start(status: str, headers: list[tuple[str, str]], error: object = None) -> Callable[[bytes], int]:
        answer.append((int(status.split()[0]), dict(headers)))
        return written.write

    environment = {
        **request.environment(),
        "PATH_INFO": request.path,
        "SCRIPT_NAME": "",
        "wsgi.input": io.BytesIO(request.plain_body()),
    }
    for chunk in application(environment, start):
        written.write(chunk)
    status, headers = answer[-1]
    headers.pop("Transfer-Encoding", None)
    headers.pop("Content-Length", None)
    return Reply(status, headers, written.getvalue())
