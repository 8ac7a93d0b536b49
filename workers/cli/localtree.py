"""Which Kustomizations a local directory stands for: the one that is named, and with --recursive those that it brings.

Owns where the root of each source is on this machine.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from fleetbeat.api.refs import ObjectId, Ref
from fleetbeat.errors import CommandFailed, FleetbeatError
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.localbuild import KIND, Local, Obj, Options, Workshop
from workers.cli.progress import Progress
from workers.cli.terminal import Terminal, Tone
from workers.cli.tree import is_kustomization


def build(options: Options, access: Access, hub: Hub | None, progress: Progress) -> list[Local]:
    """Render; the named one first. Raises CommandFailed and whatever a run would fail with."""
    path = options.path.resolve()
    if not path.is_dir():
        raise CommandFailed(f"--path {options.path} is not a directory")
    obj = _kustomization(options, access, hub)
    root, inside = _root(path, str(obj["spec"].get("path") or "./"))
    with Workshop(options, hub, progress) as shop:
        first = shop.build(obj, root, inside)
        if not options.recursive:
            return [first]
        return [first, *_nested(shop, first, {_source_of(obj): root, **options.sources}, hub)]


def _nested(shop: Workshop, first: Local, roots: Mapping[str, Path], hub: Hub | None) -> list[Local]:
    """Those among the objects, and among theirs, as far as their sources are on this machine."""
    found: list[Local] = []
    met, waiting = {first.ref}, deque([first])
    while waiting:
        brought = [obj for obj in waiting.popleft().objects if _is_whole(obj)]
        for child in (_as_applied(obj, hub) for obj in brought):
            ref, source = Ref.of(child), _source_of(child)
            if ref in met:
                continue
            met.add(ref)
            if source not in roots:
                note = f"{ref} is left out: its source is not on this machine; add --local-sources {source}=DIRECTORY"
                Terminal(sys.stderr).state(Tone.WAIT, note)
                continue
            built = _build_child(shop, child, roots[source])
            found.append(built)
            waiting.append(built)
    return found


def _build_child(shop: Workshop, child: Obj, root: Path) -> Local:
    try:
        return shop.build(child, root.resolve(), str(child["spec"].get("path") or "./"))
    except FleetbeatError as error:
        raise CommandFailed(f"{Ref.of(child)}: {error.message}") from error


def _is_whole(obj: Obj) -> bool:
    """Whether it is a Kustomization that an API server would take; what else is wrong with it is told of the object."""
    return is_kustomization(ObjectId.of(obj)) and bool(obj["metadata"].get("namespace"))


def _as_applied(obj: Obj, hub: Hub | None) -> Obj:
    """With the inventory of the cluster's, for what would be pruned."""
    live = hub.find(Ref.of(obj)) if hub is not None else None
    return {**obj, "spec": obj.get("spec") or {}, "status": (live or {}).get("status") or {}, "live": live is not None}


def _source_of(obj: Obj) -> str:
    reference = obj["spec"].get("sourceRef") or {}
    namespace = reference.get("namespace") or obj["metadata"]["namespace"]
    return f"{reference.get('kind')}/{namespace}/{reference.get('name')}"


def _kustomization(options: Options, access: Access, hub: Hub | None) -> Obj:
    """The cluster's object; a file's spec wins over it, and may be of one that is not there yet."""
    ref = Ref(KIND.name, access.namespace, options.name)
    if options.file is None:
        if hub is None:
            raise CommandFailed("--dry-run needs --kustomization-file, because it asks no cluster")
        return hub.get(KIND, ref)
    return _as_applied(_from_file(options.file, ref), hub)


def _from_file(file: Path, ref: Ref) -> Obj:
    import yaml

    try:
        documents = list(yaml.load_all(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (OSError, yaml.YAMLError) as error:
        raise CommandFailed(f"--kustomization-file {file} cannot be read: {type(error).__name__}") from error
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != KIND.name:
            continue
        metadata = document.get("metadata") or {}
        ours = str(document.get("apiVersion")).startswith(f"{KIND.group}/")
        if ours and metadata.get("name") == ref.name and metadata.get("namespace") in (None, ref.namespace):
            return {**document, "metadata": {**metadata, "namespace": ref.namespace}}
    raise CommandFailed(f"--kustomization-file {file} has no Kustomization {ref.name} of namespace {ref.namespace}")


def _root(path: Path, spec_path: str) -> tuple[Path, str]:
    """The root of the source, and the directory in it: above `path` as spec.path says, else the Git work tree's."""
    inside = Path(*(part for part in Path("/", spec_path).parts[1:] if part != ".."))
    depth = len(inside.parts)
    if depth == 0 or path.parts[-depth:] == inside.parts:
        root = path.parents[depth - 1] if depth else path
        return root, str(inside)
    above = (folder for folder in (path, *path.parents) if (folder / ".git").exists())
    root = next(above, path)
    return root, str(path.relative_to(root))
