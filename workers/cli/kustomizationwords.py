"""The words of `fleetbeat confirm` and `fleetbeat trace`."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.formats import asked
from workers.cli.options import (
    DEFAULT_NAMESPACE,
    Context,
    Kubeconfig,
    Namespace,
    Output,
    Timeout,
    Wait,
    access_of,
    seconds,
)

Words = Annotated[list[str], typer.Argument(metavar="KIND NAME", show_default=False, hidden=True)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(confirm)
    app.command()(trace)


def confirm(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Wait = True,
    timeout: Timeout = "5m",
) -> None:
    """Let the deletions go that the prune brake holds.

    Shows the list and asks, for example `confirm kustomization apps`.
    """
    from workers.cli import confirm as command

    command.run(words, access_of(kubeconfig, context, namespace), yes=yes, wait=wait, timeout=seconds(timeout))


def trace(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    output: Output = "",
) -> None:
    """Show where an object on any cluster comes from.

    Its Kustomization, the source and the revision, for example `trace deploy/web -n shop`.
    """
    from workers.cli import trace as command

    command.run(words, access_of(kubeconfig, context, namespace), output=asked(output, "json", "yaml"))
