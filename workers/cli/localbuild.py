"""A local directory rendered as a worker would render it: archived as its source would, built by the same engine.

Owns the archives of the sources that are on this machine, and where variables come from. Which Kustomizations are meant
is in `localtree.py`.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.kustomize import KustomizationSpec
from fleetbeat.api.refs import Ref
from fleetbeat.artifacts.archive import write_archive
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import NotFound
from fleetbeat.kube.marks import owner_labels
from fleetbeat.reconcile import variables
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import render
from fleetbeat.render.links import told
from fleetbeat.sources import local
from workers.cli.hub import Hub
from workers.cli.manifests import is_sealed
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
    recursive: bool = False
    """Also the Kustomizations that are among the objects."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """`Kind/namespace/name` of further sources → their directories; for `recursive`."""


@dataclass(frozen=True)
class Local:
    """A Kustomization and what its directory renders to."""

    obj: Obj
    """With the status of the cluster's; `live` is False where that has none."""
    spec: KustomizationSpec
    objects: list[Obj]
    """They carry their owner's labels."""

    @property
    def ref(self) -> Ref:
        """Of the Kustomization."""
        return Ref.of(self.obj)


class Workshop:
    """Builds Kustomizations from directories of this machine; each source is archived once."""

    def __init__(self, options: Options, hub: Hub | None, progress: Progress) -> None:
        self._options, self._hub, self._progress = options, hub, progress
        self._archives: dict[tuple[Path, str], tuple[Path, str]] = {}
        self._reader = _Reader(hub.client if hub is not None else None)
        self._open = ExitStack()

    def __enter__(self) -> Workshop:
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="fleetbeat-")))
        self._engine = self._open.enter_context(Engine())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def build(self, obj: Obj, root: Path, inside: str) -> Local:
        """Render the directory `inside` of the source in `root`. Raises whatever a run would fail with."""
        spec: KustomizationSpec = decode_spec(KIND, obj)
        file, digest = self._archive(root, _ignored(self._options, obj, self._hub))
        self._progress.update(f"building {Ref.of(obj)}")
        with told(lambda name: (root / name).is_symlink()):
            objects = render(
                self._engine,
                file,
                digest,
                {**obj["spec"], "path": inside},
                self._variables(obj),
                strict=self._strict(obj),
                sealed=True,
                timeout=self._options.timeout,
            ).objects
        if not obj["spec"].get("kubeConfig"):
            self._reader.bring(objects)
        return Local(obj, spec, [_owned(one, obj) for one in objects])

    def _archive(self, root: Path, ignored: str) -> tuple[Path, str]:
        slot = root, ignored
        if slot not in self._archives:
            self._progress.update(f"archiving {root}")
            file = self._folder / f"{len(self._archives)}.tar.gz"
            with file.open("w+b") as out:
                self._archives[slot] = file, write_archive(local.entries(root, ignored), out).digest
        return self._archives[slot]

    def _variables(self, obj: Obj) -> dict[str, str] | None:
        post_build, namespace = obj["spec"].get("postBuild"), obj["metadata"]["namespace"]
        if not post_build:
            return None
        named = post_build.get("substituteFrom") or []
        if self._options.offline:
            if any(not self._reader.brings(entry, namespace) for entry in named):
                note = "--dry-run reads no ConfigMap or Secret: variables of substituteFrom are empty"
                Terminal(sys.stderr).state(Tone.WAIT, note)
            post_build = {**post_build, "substituteFrom": [{**entry, "optional": True} for entry in named]}
        return variables.gather(self._reader, namespace, post_build)

    def _strict(self, obj: Obj) -> bool:
        if self._options.strict is not None:
            return self._options.strict
        return not (self._options.offline and (obj["spec"].get("postBuild") or {}).get("substituteFrom"))


class _Reader(HubReader):
    """ConfigMaps and Secrets as they will be: what was built on the way here wins over what the cluster has."""

    _PLURALS: Mapping[str, str] = {"ConfigMap": "configmaps", "Secret": "secrets"}

    def __init__(self, client: KubeClient | None) -> None:
        """client: None where no cluster is asked."""
        if client is not None:
            super().__init__(client)
        self._asks = client is not None
        self._brought: dict[tuple[str, str, str], Obj] = {}

    def bring(self, objects: list[Obj]) -> None:
        """Remember what may hold variables; what is encrypted stays as the cluster has it."""
        for obj in objects:
            plural, meta = self._PLURALS.get(obj["kind"], ""), obj["metadata"]
            if plural and obj["apiVersion"] == "v1" and not is_sealed(obj):
                self._brought[plural, meta.get("namespace") or "", meta["name"]] = obj

    def brings(self, entry: Mapping[str, Any], namespace: str) -> bool:
        """Whether an entry of substituteFrom was built on the way here."""
        return (self._PLURALS.get(entry["kind"], ""), namespace, entry["name"]) in self._brought

    def _get(self, plural: str, namespace: str, name: str) -> Obj:
        brought = self._brought.get((plural, namespace, name))
        if brought is None:
            if not self._asks:
                raise NotFound(f"{plural} {namespace}/{name}", status=404)
            return super()._get(plural, namespace, name)
        plain = (brought.get("stringData") or {}).items()
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain}
        return {**brought, "data": {**(brought.get("data") or {}), **encoded}}


def _ignored(options: Options, obj: Obj, hub: Hub | None) -> str:
    """Patterns of the source, where the cluster knows it, then the command's own."""
    reference = obj["spec"].get("sourceRef") or {}
    source = None
    if hub is not None and reference.get("kind") in KINDS:
        namespace = reference.get("namespace") or obj["metadata"]["namespace"]
        source = hub.find(Ref(reference["kind"], namespace, str(reference.get("name"))))
    theirs = str(((source or {}).get("spec") or {}).get("ignore") or "")
    return "\n".join(part for part in (theirs, options.ignored) if part)


def _owned(rendered: Obj, owner: Obj) -> Obj:
    metadata: Mapping[str, Any] = rendered["metadata"]
    labels = {**(metadata.get("labels") or {}), **owner_labels(Ref.of(owner))}
    return {**rendered, "metadata": {**metadata, "labels": labels}}
