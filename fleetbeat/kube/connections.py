"""Connections to one API server: how they are opened and verified, and how much of an answer is read."""

from __future__ import annotations

from socket import SO_KEEPALIVE, SOL_SOCKET
from time import monotonic
from typing import Any

import urllib3

from fleetbeat.kube.config import ClusterConfig

MAX_RESPONSE = 512 << 20
"""Bytes; a tenant's API server must not be able to fill our memory."""
LONGEST_RESPONSE = 300.0
"""Seconds for one body, however steadily it drips; silence ends a request sooner."""
_CHUNK = 1 << 20


def open_pool(config: ClusterConfig, size: int) -> urllib3.PoolManager:
    """At most `size` idle connections to the server of `config`, verified as it says, through its proxy."""
    keep_alive = [*urllib3.connection.HTTPConnection.default_socket_options, (SOL_SOCKET, SO_KEEPALIVE, 1)]
    options: dict[str, Any] = {"maxsize": size, "block": False, "num_pools": 2, "socket_options": keep_alive}
    context = config.ssl_context
    if context is not None:
        options["ssl_context"] = context
        if config.insecure:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
        if config.tls_server_name:
            options |= {"server_hostname": config.tls_server_name, "assert_hostname": config.tls_server_name}
    if config.proxy_url:
        return urllib3.ProxyManager(config.proxy_url, **options)
    return urllib3.PoolManager(**options)


def read_whole(answer: urllib3.BaseHTTPResponse) -> bytes:
    """The body; its connection goes back to the pool, or is closed when anything went wrong."""
    chunks, size, deadline = [], 0, monotonic() + LONGEST_RESPONSE
    try:
        while chunk := answer.read1(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_RESPONSE:
                raise urllib3.exceptions.HTTPError(f"the answer is larger than {MAX_RESPONSE >> 20} MiB")
            if monotonic() > deadline:
                raise TimeoutError("the answer takes too long")
        answer.drain_conn()
    except BaseException:
        answer.close()
        raise
    answer.release_conn()
    return b"".join(chunks)
