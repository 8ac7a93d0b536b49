"""`fleetbeat install`: Fleetbeat's API on a hub, by server-side apply, shown as it comes up.

Owns the CustomResourceDefinitions' and the namespace's way onto the cluster. Definitions that another tool manages
(Flux's own, for example) are left as they are unless `--force` takes them over: they accept the same objects.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from fleetbeat.api.crds import crd
from fleetbeat.api.kinds import KINDS
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.errors import KubeError, NotFound
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.progress import Progress
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import ORDER

MANAGER = "fleetbeat"
"""Our field manager; a definition without an entry of it is somebody else's."""

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLL = 0.1
PARALLEL = 8


class Done(NamedTuple):
    """What became of one object."""

    name: str
    action: str
    """`created`, `configured`, `unchanged` or `kept`."""


def run(access: Access, *, force: bool, timeout: float) -> None:
    """Apply the namespace and all definitions and wait until the API server serves them."""
    hub = Hub(access)
    started = time.monotonic()
    out = Terminal()
    definitions = [crd(KINDS[name]) for name in (*ORDER, *(set(KINDS) - set(ORDER)))]
    width = max(len(definition["metadata"]["name"]) for definition in definitions)
    _announce(out, _namespace(hub, access.namespace), width)
    with Progress(f"{len(definitions)} definitions") as progress, ThreadPoolExecutor(PARALLEL) as pool:
        work = [pool.submit(_install, hub, definition, force, started + timeout) for definition in definitions]
        for number, future in enumerate(as_completed(work), 1):
            progress.clear()
            _announce(out, future.result(), width)
            progress.update(f"{number} of {len(definitions)} are served")
    out.line()
    out.line(f"Fleetbeat's API is ready after {time.monotonic() - started:.1f} s.")


def _namespace(hub: Hub, name: str) -> Done:
    path = f"/api/v1/namespaces/{name}"
    shown = f"namespace/{name}"
    if _live(hub, path) is not None:
        return Done(shown, "unchanged")
    _apply(hub, path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, force=True)
    return Done(shown, "created")


def _install(hub: Hub, definition: dict[str, Any], force: bool, deadline: float) -> Done:
    path = f"{CRDS}/{definition['metadata']['name']}"
    done = _apply(hub, path, definition, force)
    while not _established(hub.read(path)):
        if time.monotonic() >= deadline:
            raise CommandFailed(f"{done.name} was not Established in time; `kubectl describe crd {done.name}` says why")
        time.sleep(POLL)
    return done


def _apply(hub: Hub, path: str, desired: dict[str, Any], force: bool) -> Done:
    name = desired["metadata"]["name"]
    live = _live(hub, path)
    if live is not None and not force and not _is_ours(live):
        return Done(name, "kept")
    try:
        applied = hub.client.apply(path, desired, MANAGER)
    except KubeError as error:
        raise CommandFailed(f"{name} could not be applied: {error.message}") from error
    version = applied["metadata"]["resourceVersion"]
    if live is None:
        return Done(name, "created")
    return Done(name, "unchanged" if version == live["metadata"]["resourceVersion"] else "configured")


def _live(hub: Hub, path: str) -> dict[str, Any] | None:
    try:
        return hub.read(path)
    except NotFound:
        return None


def _is_ours(live: dict[str, Any]) -> bool:
    managers: Iterable[dict[str, Any]] = live["metadata"].get("managedFields") or ()
    return any(entry.get("manager") == MANAGER for entry in managers)


def _established(definition: dict[str, Any]) -> bool:
    conditions: Sequence[dict[str, Any]] = (definition.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def _announce(out: Terminal, done: Done, width: int) -> None:
    tone = {"created": Tone.GOOD, "configured": Tone.GOOD}.get(done.action, Tone.DIM)
    note = "kept: another tool manages it (--force takes it over)" if done.action == "kept" else done.action
    out.state(tone, f"{done.name:<{width}}  {out.paint(note, Tone.DIM)}")
