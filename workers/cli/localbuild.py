"""A local directory rendered as a worker would render it: archived as its source would, built by the same engine.

Owns where the root of the source is on this machine, and which Kustomization is meant: the cluster's or a file's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.kustomize import KustomizationSpec
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts.archive import write_archive
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.marks import owner_labels
from fleetbeat.reconcile import variables
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.links import told
from fleetbeat.render.substitute import merge
from fleetbeat.sources import local
from workers.cli.connect import Access
from workers.cli.hub import Hub
from workers.cli.progress import Progress
from workers.cli.terminal import Terminal, Tone

Obj = dict[str, Any]

KIND = KINDS["Kustomization"]


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    name: str
    path: Path
    """The local directory that stands for spec.path."""
    file: Path | None = None
    """Holds the Kustomization; None: the cluster does."""
    offline: bool = False
    """Talk to no cluster."""
    strict: bool | None = None
    """None: as a worker, but what `substituteFrom` would bring may be missing offline."""
    ignored: str = ""
    """Further patterns of files to leave out."""
    timeout: float = 300.0


@dataclass(frozen=True)
class Local:
    """A Kustomization and what its directory renders to."""

    obj: Obj
    spec: KustomizationSpec
    objects: list[Obj]

    @property
    def ref(self) -> Ref:
        """Of the Kustomization."""
        return Ref.of(self.obj)


def build(options: Options, access: Access, hub: Hub | None, progress: Progress) -> Local:
    """Render; the objects carry their owner's labels. Raises CommandFailed and whatever a run would fail with."""
    path = options.path.resolve()
    if not path.is_dir():
        raise CommandFailed(f"--path {options.path} is not a directory")
    obj = _kustomization(options, access, hub)
    spec: KustomizationSpec = decode_spec(KIND, obj)
    root, inside = _root(path, str(obj["spec"].get("path") or "./"))
    progress.update(f"archiving {root}")
    with tempfile.TemporaryDirectory(prefix="fleetbeat-") as folder, Engine() as engine:
        file = Path(folder, "artifact.tar.gz")
        with file.open("w+b") as out:
            digest = write_archive(local.entries(root, _ignored(options, obj, hub)), out).digest
        progress.update("building")
        with told(lambda name: (root / name).is_symlink()):
            objects = render(
                engine,
                file,
                digest,
                {**obj["spec"], "path": inside},
                _variables(options, obj, hub),
                strict=_strict(options, obj),
                sealed=True,
                timeout=options.timeout,
            ).objects
    return Local(obj, spec, [_owned(one, obj) for one in objects])


def _kustomization(options: Options, access: Access, hub: Hub | None) -> Obj:
    """The cluster's object; a file's spec wins over it, and may be of one that is not there yet."""
    ref = Ref(KIND.name, access.namespace, options.name)
    if options.file is None:
        if hub is None:
            raise CommandFailed("--dry-run needs --kustomization-file, because it asks no cluster")
        return hub.get(KIND, ref)
    mine = _from_file(options.file, ref)
    live = hub.find(ref) if hub is not None else None
    return {**mine, "status": (live or {}).get("status") or {}, "live": live is not None}


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
            return {
                **document,
                "metadata": {**metadata, "namespace": ref.namespace},
                "spec": document.get("spec") or {},
            }
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


def _ignored(options: Options, obj: Obj, hub: Hub | None) -> str:
    """Patterns of the source, where the cluster knows it, then the command's own."""
    reference = obj["spec"].get("sourceRef") or {}
    source = None
    if hub is not None and reference.get("kind") in KINDS:
        namespace = reference.get("namespace") or obj["metadata"]["namespace"]
        source = hub.find(Ref(reference["kind"], namespace, str(reference.get("name"))))
    theirs = str(((source or {}).get("spec") or {}).get("ignore") or "")
    return "\n".join(part for part in (theirs, options.ignored) if part)


def _variables(options: Options, obj: Obj, hub: Hub | None) -> dict[str, str] | None:
    post_build = obj["spec"].get("postBuild")
    if not post_build:
        return None
    if hub is not None:
        return variables.gather(HubReader(hub.client), obj["metadata"]["namespace"], post_build)
    if post_build.get("substituteFrom"):
        note = "--dry-run reads no ConfigMap or Secret: variables of substituteFrom are empty"
        Terminal(sys.stderr).state(Tone.WAIT, note)
    return merge([], post_build.get("substitute") or {})


def _strict(options: Options, obj: Obj) -> bool:
    if options.strict is not None:
        return options.strict
    return not (options.offline and (obj["spec"].get("postBuild") or {}).get("substituteFrom"))


def _owned(rendered: Obj, owner: Obj) -> Obj:
    metadata: Mapping[str, Any] = rendered["metadata"]
    labels = {**(metadata.get("labels") or {}), **owner_labels(Ref.of(owner))}
    return {**rendered, "metadata": {**metadata, "labels": labels}}
