"""A hub that knows nothing but service accounts of one kind and their tokens, by script."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tests.support.hostile import reply, scripted_server

ENDS = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
"""In an hour."""


@dataclass
class Accounts:
    """What the hub knows; may be changed while it runs."""

    annotations: dict[str, str]
    uid: str = "1"
    refused: Mapping[str, int] = field(default_factory=dict)
    """How paths end that are answered with such a status."""
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """How paths end that are answered with such an object."""
    asked: list[str] = field(default_factory=list)
    """Paths of requests for tokens."""

    def answer(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Any account has the same annotations, and its tokens are `for-<audience>`."""
        if not body:
            found = next((obj for end, obj in self.objects.items() if path.endswith(end)), None)
            return found or {"metadata": {"name": "fleet", "uid": self.uid, "annotations": self.annotations}}
        self.asked.append(path)
        (audience,) = body["spec"]["audiences"]
        return {"status": {"token": f"for-{audience}", "expirationTimestamp": ENDS}}


@contextmanager
def scripted_hub(known: dict[str, str] | Accounts) -> Iterator[KubeClient]:
    """With accounts that are known, or that have these annotations."""
    accounts = known if isinstance(known, Accounts) else Accounts(known)

    def serve(handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)) or b"{}")
        status = next((code for end, code in accounts.refused.items() if handler.path.endswith(end)), 200)
        answer = accounts.answer(handler.path, body) if status == 200 else {"kind": "Status", "message": "refused"}
        reply(handler, json.dumps(answer).encode(), status=status, kind="application/json")

    with scripted_server(serve) as (url, _):
        yield KubeClient(ClusterConfig(url))
