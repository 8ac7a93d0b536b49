"""The few requests that the bench itself sends to an API server, and that tests use to look from outside.

Plain HTTP with a client certificate and without Fleetbeat's own client, so that tests do not check a part with itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import urllib3


class ApiError(Exception):
    """The API server answered with an error."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.status = status
        super().__init__(f"{method} {path}: {status} {body[:500].decode(errors='replace')}")


class ApiClient:
    """Requests to one API server as its administrator."""

    def __init__(self, url: str, authority: Path, certificate: Path, key: Path) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(
            ca_certs=str(authority), cert_file=str(certificate), key_file=str(key), retries=False, timeout=30.0
        )

    def request(self, method: str, path: str, body: Any = None, content_type: str | None = None) -> Any:
        """The decoded JSON answer (text where it is not JSON); raises ApiError, or urllib3's errors when unreachable.

        The content type of a PATCH defaults to a merge patch.
        """
        default = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self._pool.request(
            method,
            self._url + path,
            body=None if body is None else orjson.dumps(body),
            headers={"Content-Type": content_type or default, "User-Agent": "fleetbeat-bench"},
        )
        if answer.status >= 400:
            raise ApiError(method, path, answer.status, answer.data)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return orjson.loads(answer.data) if is_json else answer.data.decode()

    def exists(self, path: str) -> bool:
        """Whether a GET finds something; an unreachable or unready server has nothing."""
        try:
            self.request("GET", path)
        except (ApiError, urllib3.exceptions.HTTPError):
            return False
        return True

    def node_ready(self, name: str) -> bool:
        """Whether a node can take pods."""
        conditions = self.request("GET", f"/api/v1/nodes/{name}")["status"].get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()
