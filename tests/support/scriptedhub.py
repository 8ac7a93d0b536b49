"""A hub that knows nothing but one ServiceAccount and its tokens, by script."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from tests.support.hostile import reply, scripted_server

ENDS = datetime.fromtimestamp(time.time() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
"""In an hour."""


@contextmanager
def scripted_hub(annotations: dict[str, str]) -> Iterator[KubeClient]:
    """Its account has these annotations, and its tokens are `for-<audience>`."""

    def serve(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("/token"):
            body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
            (audience,) = body["spec"]["audiences"]
            answer: dict[str, Any] = {"status": {"token": f"for-{audience}", "expirationTimestamp": ENDS}}
        else:
            answer = {"metadata": {"name": "fleet", "annotations": annotations}}
        reply(handler, json.dumps(answer).encode(), kind="application/json")

    with scripted_server(serve) as (url, _):
        yield KubeClient(ClusterConfig(url))
