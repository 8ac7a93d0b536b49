"""The words of the command line. Each command imports what it needs when it is called, so that help is instant.

Owns names, options and help of the commands and the one place where errors become a line and an exit code: 0 done,
1 it could not be done, 2 the words make no sense, 130 interrupted; of `diff`, 1 says that something differs, and what
could not be done is 2. What commands do is in the modules beside this one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fleetbeat.errors import CommandFailed, FleetbeatError
from workers.cli import artifactwords, buildwords, createwords, kustomizationwords
from workers.cli.formats import asked
from workers.cli.options import (
    DEFAULT_NAMESPACE,
    Context,
    Every,
    Everywhere,
    Kubeconfig,
    Namespace,
    Output,
    Timeout,
    UpOptions,
    Wait,
    Watch,
    access_of,
    seconds,
)
from workers.cli.terminal import Terminal, Tone

ROLES = ("hub", "beat", "source", "apply", "observer", "web", "flower")

Words = Annotated[list[str], typer.Argument(metavar="KIND NAME", show_default=False, hidden=True)]

app = typer.Typer(
    name="fleetbeat",
    help="GitOps for fleets of Kubernetes clusters, on Flux's own API.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(createwords.app, name="create")
buildwords.register(artifactwords.register(app))
kustomizationwords.register(app)


def main() -> None:
    """Run the command line; every foreseen error ends as one line on standard error."""
    try:
        app()
    except FleetbeatError as error:
        _fail(error.message)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get("FLEETBEAT_DEBUG"):
            raise
        _fail(f"unexpected {type(error).__name__}: {error} (FLEETBEAT_DEBUG=1 shows where)")


def _fail(message: str) -> None:
    Terminal(sys.stderr).state(Tone.BAD, message)
    raise SystemExit(2 if sys.argv[1:2] == ["diff"] else 1)


@app.command()
def install(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    force: Annotated[bool, typer.Option("--force", help="Take over definitions that another tool manages.")] = False,
    timeout: Timeout = "1m",
) -> None:
    """Install Fleetbeat's API on a cluster.

    That is the definitions of all kinds, and the namespace. Definitions of other tools (Flux's own) are kept.
    """
    from workers.cli import install as command

    command.run(access_of(kubeconfig, context, namespace), force=force, timeout=seconds(timeout))
    Terminal().line("Next: `fleetbeat up --git URL --path DIR` runs everything here, or install the chart.")


@app.command()
def get(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KIND[,KIND] NAME", show_default=False, hidden=True)
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    selector: Annotated[str, typer.Option("--selector", "-l", help="Labels, such as team=a.")] = "",
    output: Output = "",
    watch: Watch = False,
) -> None:
    """Show objects and their state.

    For example `get`, `get ks`, `get ks apps`, `get source git`, `get ks,gitrepo -A --watch`.
    """
    from workers.cli import get as command

    command.run(
        words or [],
        access_of(kubeconfig, context, namespace),
        everywhere=everywhere,
        selector=selector,
        output=asked(output, "wide", "json", "yaml"),
        watch=watch,
    )


@app.command()
def reconcile(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    with_source: Annotated[bool, typer.Option("--with-source", help="Its source first.")] = False,
    wait: Wait = True,
    timeout: Timeout = "5m",
) -> None:
    """Ask for a run now and wait for its outcome.

    For example `reconcile ks apps --with-source`.
    """
    from workers.cli import reconcile as command

    access = access_of(kubeconfig, context, namespace)
    command.run(words, access, with_source=with_source, wait=wait, timeout=seconds(timeout))


@app.command()
def suspend(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    every: Every = False,
) -> None:
    """Stop reconciling objects; what they manage stays.

    For example `suspend ks apps`, `suspend ks --all`.
    """
    from workers.cli import suspend as command

    command.suspend(words, access_of(kubeconfig, context, namespace), every=every)


@app.command()
def resume(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    every: Every = False,
    wait: Wait = True,
    timeout: Timeout = "5m",
) -> None:
    """Go on reconciling suspended objects.

    Waits until they are ready, for example `resume ks apps`.
    """
    from workers.cli import suspend as command

    access = access_of(kubeconfig, context, namespace)
    command.resume(words, access, every=every, wait=wait, timeout=seconds(timeout))


@app.command()
def events(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    about: Annotated[str, typer.Option("--for", metavar="KIND/NAME", help="One object and its source.")] = "",
    output: Output = "",
    watch: Watch = False,
) -> None:
    """Show what happened, oldest first.

    For example `events --for ks/apps`, `events -A --watch`.
    """
    from workers.cli import events as command

    access = access_of(kubeconfig, context, namespace)
    command.run(access, about=about, everywhere=everywhere, output=asked(output, "json", "yaml"), watch=watch)


@app.command()
def tree(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    output: Output = "",
) -> None:
    """Show what a Kustomization manages, and its health.

    For example `tree ks apps`.
    """
    from workers.cli import tree as command

    command.run(words, access_of(kubeconfig, context, namespace), output=asked(output, "json", "yaml"))


@app.command()
def explain(
    words: Words,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    output: Output = "",
) -> None:
    """Say why an object waits and what happens next.

    For example `explain ks apps`; with FLEETBEAT_REDIS_URL it knows the queue too.
    """
    from workers.cli import explain as command

    command.run(words, access_of(kubeconfig, context, namespace), output=asked(output, "json", "yaml"))


@app.command()
def up(
    git: Annotated[str | None, typer.Option("--git", metavar="URL", help="Git repository to sync.")] = None,
    path: Annotated[str, typer.Option("--path", metavar="DIR", help="Directory in it.")] = "./",
    branch: Annotated[str, typer.Option("--branch", help="Branch of it.")] = "main",
    interval: Annotated[str, typer.Option("--interval", help="How often to look at it.")] = "1m",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    flower_port: Annotated[int, typer.Option("--flower-port", help="Port of Flower, the live view.")] = 5555,
    web_port: Annotated[int, typer.Option("--web-port", help="Port of webhooks and artifacts.")] = 8080,
    data: Annotated[Path | None, typer.Option("--data", help="Keep state here.", show_default="temporary")] = None,
) -> None:
    """Run all of Fleetbeat here, in the foreground.

    For the cluster of the kubeconfig, with its own Redis and S3; needs the extra `fleetbeat[embedded]`.
    """
    from workers.up import run_up

    run_up(UpOptions(git, path, branch, interval, kubeconfig, context, namespace, flower_port, web_port, data))


@app.command()
def start(role: Annotated[str, typer.Argument(metavar="|".join(ROLES), show_default=False, hidden=True)]) -> None:
    """Run one role of Fleetbeat as this process.

    Its settings come from FLEETBEAT_* variables.
    """
    if role not in ROLES:
        raise CommandFailed(f"there is no role {role!r}: use one of {', '.join(ROLES)}")
    from workers.roles import run

    run(role)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    Terminal().line(f"fleetbeat {installed('fleetbeat')}")


if __name__ == "__main__":
    main()
