"""Options that several commands share, and what `up` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetbeat.errors import CommandFailed, InvalidSpec

if TYPE_CHECKING:
    from workers.cli.connect import Access

DEFAULT_NAMESPACE = "flux-system"

Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig file.", show_default="$KUBECONFIG")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.", show_default="current")]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="FLUX_SYSTEM_NAMESPACE", show_envvar=False, help="Namespace.")
]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on as things change, until Ctrl-C.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcome.")]
Every = Annotated[bool, typer.Option("--all", help="All objects of the kind in the namespace.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, such as 90s or 5m.")]
Output = Annotated[str, typer.Option("--output", "-o", help="json or yaml, for programs; get: also wide.")]


def access_of(kubeconfig: Path | None, context: str | None, namespace: str) -> Access:
    """The cluster and the namespace that a command is about; connects on first use."""
    from workers.cli.connect import Access

    return Access(kubeconfig, context, namespace)


def seconds(text: str) -> float:
    """The value of --timeout; CommandFailed when it is no duration."""
    from fleetbeat.api.meta import parse_duration

    try:
        return parse_duration(text)
    except InvalidSpec:
        raise CommandFailed(f"--timeout {text!r} is not a duration such as 90s or 5m") from None


def listed(words: list[str]) -> list[str]:
    """The values of an option that may be repeated or hold several with commas between them."""
    return [part for word in words for part in word.split(",") if part]


def text_of(file: Path | None) -> str:
    """The content of a file that an option names; CommandFailed when it cannot be read."""
    if file is None:
        return ""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{file} cannot be read: {type(error).__name__}") from error


@dataclass(frozen=True)
class UpOptions:
    """What `fleetbeat up` was asked to run."""

    git: str | None
    """Repository to sync; None runs the stack for whatever the hub already holds."""
    path: str
    """Directory in the repository."""
    branch: str
    interval: str
    """How often the repository is looked at, as a duration."""
    kubeconfig: Path | None
    context: str | None
    namespace: str
    """Where the GitRepository and the Kustomization are made."""
    flower_port: int
    web_port: int
    data: Path | None
    """Where Redis, S3 and caches keep their files; None is a temporary folder, gone at the end."""
