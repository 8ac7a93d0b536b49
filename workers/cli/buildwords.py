"""The words of `fleetbeat build|diff kustomization`. Options have the names that flux gives them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAMESPACE, Context, Kubeconfig, Namespace, Timeout, access_of, listed, seconds

if TYPE_CHECKING:
    from workers.cli.localbuild import Options

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
FromPath = Annotated[Path, typer.Option("--path", help="Local directory that stands for spec.path.")]
File = Annotated[
    Path | None,
    typer.Option("--kustomization-file", help="File with the Kustomization.", show_default="the cluster's"),
]
Ignore = Annotated[list[str], typer.Option("--ignore-paths", help="Patterns of files to leave out; may be repeated.")]
Strict = Annotated[
    bool | None,
    typer.Option("--strict-substitute/--no-strict-substitute", help="Undefined variables fail.", show_default=False),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Also the Kustomizations among the objects, and theirs.")
]
Sources = Annotated[
    list[str],
    typer.Option("--local-sources", help="Kind/namespace/name=DIRECTORY of further sources; may be repeated."),
]


def register(groups: dict[str, typer.Typer]) -> None:
    """Add the member `kustomization`, also called `ks`, to the groups of the verbs `build` and `diff`."""
    for verb, command in (("build", build), ("diff", diff)):
        groups[verb].command("kustomization")(command)
        groups[verb].command("ks", hidden=True)(command)


def build(
    name: Name,
    path: FromPath,
    file: File = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask no cluster; needs --kustomization-file.")] = False,
    strict: Strict = None,
    ignore: Ignore = [],  # noqa: B006
    recursive: Recursive = False,
    sources: Sources = [],  # noqa: B006
    timeout: Timeout = "5m",
) -> None:
    """Print what a Kustomization would apply from a local directory; Secrets are masked.

    For example `build kustomization apps --path ./clusters/production`.
    """
    from workers.cli import kustomization

    options = _options(name, path, file, strict, ignore, timeout)
    options = replace(options, offline=dry_run, recursive=recursive, sources=_directories(sources))
    kustomization.build(options, access_of(kubeconfig, context, namespace))


def diff(
    name: Name,
    path: FromPath,
    file: File = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    strict: Strict = None,
    ignore: Ignore = [],  # noqa: B006
    recursive: Recursive = False,
    sources: Sources = [],  # noqa: B006
    timeout: Timeout = "5m",
) -> None:
    """Print what pushing a local directory would change on the cluster.

    Exit code 0: nothing; 1: something; 2: it cannot be told. For example `diff kustomization apps --path ./apps`.
    """
    from workers.cli import kustomization

    options = _options(name, path, file, strict, ignore, timeout)
    options = replace(options, recursive=recursive, sources=_directories(sources))
    if kustomization.diff(options, access_of(kubeconfig, context, namespace)):
        raise SystemExit(1)


def _options(name: str, path: Path, file: Path | None, strict: bool | None, ignore: list[str], timeout: str) -> Options:
    from workers.cli.localbuild import Options

    return Options(name, path, file, strict=strict, ignored="\n".join(listed(ignore)), timeout=seconds(timeout))


def _directories(words: list[str]) -> dict[str, Path]:
    """Of --local-sources; raises typer.BadParameter naming what is wrong."""
    found = {}
    for word in listed(words):
        source, equals, directory = word.partition("=")
        if not equals or source.count("/") != 2 or not all(source.split("/")):
            raise typer.BadParameter(
                f"{word!r} is not of the form Kind/namespace/name=DIRECTORY", param_hint="--local-sources"
            )
        if not Path(directory).is_dir():
            raise typer.BadParameter(f"{directory!r} is not a directory", param_hint="--local-sources")
        found[source] = Path(directory)
    return found
