"""Clusters that a vendor runs: where their tokens may go, and who asks for them.

With a service account, the ConfigMap may name any address: whoever writes it can have that account's tokens anyway. The
worker's own identity goes only where the vendor says that the cluster is, verified as the vendor says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from urllib3.exceptions import HTTPError

from fleetbeat import clouds
from fleetbeat.clouds import Token
from fleetbeat.kube.access import Described, Tokens, ca_of, server_of
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig, KubeError, Unauthorized


@dataclass(frozen=True)
class Endpoint:
    """An address of the cluster as its vendor tells it, with its authority; None for the system's."""

    server: str
    ca: bytes | None


def config_of(described: Described, told: Callable[[], Sequence[Endpoint]], ask: Callable[[], Token]) -> ClusterConfig:
    """How the cluster is reached: as the ConfigMap says, else at the first endpoint that the vendor has `told`.

    `told` is asked only for what the ConfigMap leaves open. Raises InvalidKubeconfig, and Unauthorized from `told`.
    """
    if described.ca and not described.account:
        raise InvalidKubeconfig(
            "ca.crt needs a serviceAccountName: the worker's own identity goes only where the vendor says"
        )
    server = server_of(described.address) if described.address else ""
    ca = ca_of(described.ca)
    if not server or ca is None:
        chosen = _choose(described, server, told())
        server, ca = server or chosen.server, ca or chosen.ca
    return Tokens(ask).open(server, ca)


def _choose(described: Described, server: str, told: Sequence[Endpoint]) -> Endpoint:
    if not told:
        raise InvalidKubeconfig(f"cluster {described.cluster} has no endpoint yet")
    chosen = next((one for one in told if server in ("", one.server)), None)
    if chosen is None and not described.account:
        raise InvalidKubeconfig(
            f"address is none of the cluster's own ({', '.join(one.server for one in told)}); any other needs a"
            " serviceAccountName: the worker's own identity goes only where the vendor says"
        )
    return chosen or told[0]


@contextmanager
def asking(what: str, extra: str) -> Iterator[None]:
    """Errors of the vendor's SDK as ours, without their texts, which may quote what was sent."""
    try:
        yield
    except KubeError:
        raise
    except ImportError as error:
        raise InvalidKubeconfig(
            f"{what} needs a package that is not installed: pip install 'fleetbeat[{extra}]'"
        ) from error
    except Exception as error:  # each SDK has its own
        raise Unauthorized(f"{what}: no login ({type(error).__name__})", status=401) from error


def ask(what: str, token: str, url: str, *, method: Literal["GET", "POST"] = "GET") -> dict[str, Any]:
    """The vendor's API's JSON about `what`, such as "AKS cluster prod". Raises Unauthorized, also for silence."""
    try:
        status, body = clouds.ask(method, url, {"Authorization": f"Bearer {token}"})
    except HTTPError as error:
        raise Unauthorized(f"{what}: the vendor's API does not answer ({type(error).__name__})", status=401) from error
    if status != 200:
        raise Unauthorized(f"{what}: the vendor's API answers {status}", status=401)
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Unauthorized(f"{what}: the vendor's API does not answer in JSON", status=401) from error
