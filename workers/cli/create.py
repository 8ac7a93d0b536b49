"""`fleetbeat create`: a resource from words of the command line, written to the hub or printed.

Owns what happens to a resource once its spec is known: checked, written with its Secret, waited for. Which options make
which field is in `createwords.py`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS, Kind
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from workers.cli import rows
from workers.cli.connect import Access
from workers.cli.hub import MANAGER, Hub
from workers.cli.progress import Progress
from workers.cli.reconcile import conclude, wait_for
from workers.cli.suspend import resumed
from workers.cli.terminal import Terminal, Tone

Spec = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A resource as the command line describes it."""

    kind: str
    name: str
    spec: Spec
    """Fields that are None or empty are left out."""
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Data of the Secret to be made beside it; empty makes none."""
    secret_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def run(wanted: Wanted, access: Access, *, export: bool, wait: bool, timeout: float) -> None:
    """Write the resource and wait until it is ready, or print it; CommandFailed names the field that is wrong."""
    kind = KINDS[wanted.kind]
    obj = _resource(kind, wanted, access.namespace)
    decode_spec(kind, obj)
    if export:
        _print(obj, wanted)
        return
    hub = Hub(access)
    if wanted.secret:
        _apply(hub, f"/api/v1/namespaces/{access.namespace}/secrets/{wanted.secret_name}", _secret(wanted, access))
    ref = Ref(kind.name, access.namespace, wanted.name)
    begun = time.monotonic()
    with Progress(str(ref)) as progress:
        _apply(hub, kind.path(ref.namespace, ref.name), obj)
        if not wait or not rows.is_owned(kind) or rows.is_static(kind, obj):
            progress.done(Tone.GOOD, "written")
            return
        end = wait_for(lambda: hub.get(kind, ref), resumed, begun + timeout, progress)
        conclude(progress, ref, end, time.monotonic() - begun)


def pruned(fields: Mapping[str, Any]) -> Spec:
    """Without what was not given, at every level."""
    found: Spec = {}
    for key, value in fields.items():
        inner = pruned(value) if isinstance(value, Mapping) else value
        if inner not in (None, "", {}, [], (), False):
            found[key] = inner
    return found


def pairs(option: str, words: list[str]) -> dict[str, str]:
    """`key=value` words as a mapping; CommandFailed names the option."""
    found = dict(word.partition("=")[::2] for word in words)
    if any("=" not in word for word in words) or "" in found:
        raise CommandFailed(f"{option} takes key=value, for example {option} team=a")
    return found


def _resource(kind: Kind, wanted: Wanted, namespace: str) -> rows.Obj:
    meta = pruned({"name": wanted.name, "namespace": namespace, "labels": wanted.labels})
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": pruned(wanted.spec)}


def _secret(wanted: Wanted, access: Access) -> rows.Obj:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in wanted.secret.items()}
    meta = {"name": wanted.secret_name, "namespace": access.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def _apply(hub: Hub, path: str, obj: rows.Obj) -> None:
    hub.client.apply(path, obj, MANAGER)


def _print(obj: rows.Obj, wanted: Wanted) -> None:
    import yaml

    out = Terminal()
    out.line("---")
    out.line(yaml.safe_dump(obj, sort_keys=False).rstrip())
    if wanted.secret:
        import sys

        Terminal(sys.stderr).state(Tone.WAIT, f"the Secret {wanted.secret_name} is not printed; make it yourself")
