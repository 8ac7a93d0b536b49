"""The hub's API as the command uses it: read, list, patch; errors in a user's words.

The only module of the command that knows `KubeClient`. Must not print.
"""

from __future__ import annotations

from typing import Any

from fleetbeat.api.kinds import KINDS, Kind
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import Forbidden, NotFound
from workers.cli.connect import Access

Obj = dict[str, Any]

MANAGER = "fleetbeat-cli"


class Hub:
    """One command's connection to the hub."""

    def __init__(self, access: Access) -> None:
        self.config = access.config()
        self.client = KubeClient(self.config, timeout=30)

    def get(self, kind: Kind, ref: Ref) -> Obj:
        """One object; CommandFailed when it does not exist."""
        try:
            return self.read(kind.path(ref.namespace, ref.name))
        except NotFound as error:
            raise CommandFailed(self._missing(kind, ref)) from error

    def find(self, ref: Ref) -> Obj | None:
        """The object of a ref, None when it or its kind does not exist."""
        kind = KINDS.get(ref.kind)
        try:
            return self.read(kind.path(ref.namespace, ref.name)) if kind else None
        except NotFound:
            return None

    def list(self, kind: Kind, namespace: str | None, selector: str = "") -> list[Obj] | None:
        """All objects of a kind in a namespace (None: in all), sorted; None when the cluster does not have the kind."""
        params = {"labelSelector": selector} if selector else None
        try:
            items = self.read(kind.path(namespace), params)["items"]
        except NotFound:
            return None
        for item in items:
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.name)
        return sorted(items, key=lambda obj: (obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def read(self, path: str, params: dict[str, str] | None = None) -> Obj:
        """GET any path of the API, decoded."""
        return self.client.get(path, params)

    def patch(self, kind: Kind, ref: Ref, patch: Obj) -> Obj:
        """Merge-patch one object and return it as it is now."""
        try:
            return self.client.patch(kind.path(ref.namespace, ref.name), patch, params={"fieldManager": MANAGER})
        except NotFound as error:
            raise CommandFailed(self._missing(kind, ref)) from error

    def _missing(self, kind: Kind, ref: Ref) -> str:
        try:
            self.read(kind.path(ref.namespace), {"limit": "1"})
        except NotFound:
            return f"the cluster has no kind {kind.name}: run `fleetbeat install`"
        except Forbidden:
            pass
        return f"there is no {ref}: `fleetbeat get {kind.singular} -A` shows all"
