"""`fleetbeat up`: the whole of Fleetbeat in the foreground, against clusters that exist already.

Starts the embedded Redis and S3 and every role, installs the API into the hub, optionally points it at a Git
repository, and shows one readable log until Ctrl-C. Data stay in the directory given, so that the next start goes on.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import yaml
from rich.console import Console

from workers.cli import install
from workers.cli.connect import Access, kubeconfig_files, merged
from workers.cli.hub import Hub
from workers.cli.options import UpOptions
from workers.stack import Stack

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green")
_NOISE = re.compile(
    r"Task \S+ received|Registered tasks|Inspect method|^\s+[\[']|^\s*$"
    r"|superuser privileges|absolutely not rec|--uid option|User information: uid|_warn_or_raise"
)


def run_up(options: UpOptions) -> None:
    """Run until Ctrl-C or SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="fleetbeat-up-") as scratch:
        directory = options.data or Path(scratch)
        access = Access(options.kubeconfig, options.context, options.namespace)
        prepare(access)
        kubeconfig = _own_kubeconfig(options, directory)
        if options.git:
            _follow(Hub(access), options)
        env = {"FLEETBEAT_FLOWER_PORT": str(options.flower_port), "FLEETBEAT_WEB_PORT": str(options.web_port)}
        console = Console()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Stack(directory, kubeconfig, env=env) as stack:
            console.print(
                f"Flower: {stack.flower_url}   webhooks: {stack.web_url}/hook/…   Ctrl-C ends it\n", soft_wrap=True
            )
            try:
                _show(stack, console)
            except KeyboardInterrupt:
                console.print("\nstopping …")


def prepare(access: Access) -> None:
    """The API and the namespace, on a hub that may have them already."""
    install.run(access, force=False, timeout=60.0)


def _own_kubeconfig(options: UpOptions, directory: Path) -> Path:
    """One file with the chosen context as its current one, readable by us alone: the roles take a single file."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole = merged(kubeconfig_files(options.kubeconfig, os.environ))
    whole["current-context"] = options.context or whole["current-context"]
    file = directory / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(whole))
    return file


def _follow(hub: Hub, options: UpOptions) -> None:
    """The root GitRepository and Kustomization for a repository in Flux's layout."""
    for path, obj in root_objects(options):
        hub.client.apply(path, obj, install.MANAGER)


def root_objects(options: UpOptions) -> Iterator[tuple[str, dict[str, Any]]]:
    """API path and body of the objects that everything grows from; both carry the namespace's name, as Flux's do."""
    name = options.namespace
    meta = {"name": name, "namespace": name}
    yield (
        f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{name}/gitrepositories/{name}",
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1",
            "kind": "GitRepository",
            "metadata": meta,
            "spec": {"url": options.git, "interval": options.interval, "ref": {"branch": options.branch}},
        },
    )
    source = {"kind": "GitRepository", "name": name}
    yield (
        f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{name}/kustomizations/{name}",
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": meta,
            "spec": {"interval": "10m", "path": options.path, "prune": True, "sourceRef": source},
        },
    )


def _show(stack: Stack, console: Console) -> None:
    """One merged log, a colour a role; tends the stack meanwhile."""
    files: dict[str, TextIO] = {}
    pause = threading.Event()
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(stack.members)}
    try:
        while not pause.wait(0.2):
            for name in stack.tend():
                console.print(f"[red]{name} died and was started again[/]")
            for name, member in stack.members.items():
                if name not in files and member.server.log.exists():
                    files[name] = member.server.log.open(errors="replace")
                for line in files.get(name, ()):
                    if not _NOISE.search(line):
                        console.print(f"[{colours[name]}]{name:<9}[/] ", end="")
                        console.out(line.rstrip(), highlight=False)
            sys.stdout.flush()
    finally:
        for file in files.values():
            file.close()
