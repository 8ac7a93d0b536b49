"""A validating webhook that a real API server calls: refuses ConfigMaps of one namespace that say so themselves."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fleetbeat.kube.client import KubeClient
from tools.pki import Authority

REFUSED = "not-allowed"
"""A ConfigMap with this key in its data is refused."""
_HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        refused = REFUSED in (request["object"].get("data") or {})
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": not refused}
        if refused:
            answer["status"] = {"code": 403, "message": f"{request['name']} breaks the rule of this house"}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Silent."""


@contextmanager
def refusing(client: KubeClient, namespace: str) -> Iterator[str]:
    """The webhook at work in `namespace`; gives its name."""
    authority = Authority("webhook")
    context = authority.server("127.0.0.1").server_context()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    name = f"{namespace}.hook.test"
    hook = {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_address[1]}/",
            "caBundle": base64.b64encode(authority.certificate).decode(),
        },
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    client.create(_HOOKS, {**kind, "metadata": {"name": name}, "webhooks": [hook]})
    try:
        yield name
    finally:
        client.delete(f"{_HOOKS}/{name}")
        server.shutdown()
        server.server_close()
