"""Which cluster a command talks to: --kubeconfig, $KUBECONFIG (files merged), ~/.kube/config, or the Pod's own.

Owns kubectl's rules for finding and merging kubeconfig files. Must not read what is in them beyond that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbeat.errors import CommandFailed
from fleetbeat.kube.config import ClusterConfig
from workers.cli.options import DEFAULT_NAMESPACE

_PATH_FIELDS = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}


@dataclass(frozen=True)
class Access:
    """What the common options of a command say."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = DEFAULT_NAMESPACE

    def config(self) -> ClusterConfig:
        """The hub; CommandFailed names the file and the fix."""
        files = kubeconfig_files(self.kubeconfig, os.environ)
        if not files and os.environ.get("KUBERNETES_SERVICE_HOST") and self.context is None:
            return ClusterConfig.in_cluster()
        if not files:
            raise CommandFailed("no kubeconfig found: pass --kubeconfig FILE, or set KUBECONFIG")
        data = files[0] if len(files) == 1 else merged(files)
        return ClusterConfig.from_kubeconfig(data, trusted=True, context=self.context)


def kubeconfig_files(explicit: Path | None, env: Mapping[str, str]) -> list[Path]:
    """The files to read, in order of precedence; a file named explicitly must exist, the others may be absent."""
    if explicit is not None:
        if not explicit.is_file():
            raise CommandFailed(f"kubeconfig {explicit} does not exist")
        return [explicit]
    listed = [Path(part) for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    candidates = listed or [Path.home() / ".kube" / "config"]
    found = [path for path in candidates if path.is_file()]
    if listed and not found:
        raise CommandFailed(f"KUBECONFIG names {', '.join(map(str, listed))}, which does not exist")
    return found


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """Several kubeconfigs as one: the first entry of a name wins; relative paths stay relative to their own file."""
    whole: dict[str, Any] = {"clusters": [], "users": [], "contexts": []}
    for file in files:
        data = _read(file)
        whole["current-context"] = whole.get("current-context") or data.get("current-context")
        for section in ("clusters", "users", "contexts"):
            known = {entry.get("name") for entry in whole[section]}
            for entry in data.get(section) or []:
                if entry.get("name") not in known:
                    _anchor(section, entry, file.parent)
                    whole[section].append(entry)
    return whole


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe
    except (OSError, yaml.YAMLError) as error:
        raise CommandFailed(f"kubeconfig {file} cannot be read: {type(error).__name__}") from error
    if not isinstance(data, dict):
        raise CommandFailed(f"kubeconfig {file} is not a mapping")
    return data


def _anchor(section: str, entry: dict[str, Any], folder: Path) -> None:
    inner, fields = _PATH_FIELDS.get(section, ("", ()))
    for field in fields:
        value = (entry.get(inner) or {}).get(field)
        if value:
            entry[inner][field] = str(folder / value)
