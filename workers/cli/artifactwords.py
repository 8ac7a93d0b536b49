"""The words of `fleetbeat build|push|pull|tag|diff|list artifact`. Options have the names that flux gives them.

Owns how errors of sources are told to somebody who has a command line before them, and no spec.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetbeat.errors import FleetbeatError
from workers.cli.options import Output, Timeout, listed, seconds

if TYPE_CHECKING:
    from workers.cli.artifact import Options

Url = Annotated[str, typer.Argument(metavar="oci://HOST/PATH:TAG", show_default=False)]
FromPath = Annotated[Path, typer.Option("--path", "-f", help="Directory (or file) of this machine.")]
Ignore = Annotated[list[str], typer.Option("--ignore-paths", help="Patterns of files to leave out; may be repeated.")]
Creds = Annotated[str, typer.Option("--creds", help="USER:PASSWORD, or a token.", show_default="docker login")]
Insecure = Annotated[bool, typer.Option("--insecure-registry", help="The registry speaks plain HTTP.")]

_OPTIONS = {
    "spec.insecure allows": "--insecure-registry allows",
    "check spec.url and spec.ref": "check the URL and its tag",
    "; put it into spec.ref.tag or spec.ref.digest": "; leave it out",
    "put it into a Secret of type kubernetes.io/dockerconfigjson": "pass it by --creds",
    "put the server's authority into the Secret's key ca.crt": "let SSL_CERT_FILE name the server's authority",
    "exclude some by spec.ignore": "exclude some by --ignore-paths",
    "within spec.timeout": "within --timeout",
}
"""What is said of a field → what is said of an option."""


def register(app: typer.Typer) -> dict[str, typer.Typer]:
    """Add the verbs, each as a group with the member `artifact`; returns the groups, for other members."""
    groups = {}
    for verb, command, help_text in (
        ("build", build, "Archive a directory, or show what a Kustomization builds."),
        ("push", push, "Upload a directory to a registry."),
        ("pull", pull, "Unpack an artifact of a registry."),
        ("tag", tag, "Give an artifact further tags."),
        ("diff", diff, "Compare a directory with an artifact or a cluster."),
        ("list", listing, "List the artifacts of a repository."),
    ):
        groups[verb] = _group(help_text, command)
        app.add_typer(groups[verb], name=verb)
    return groups


def _group(help_text: str, command: Callable[..., Any]) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=help_text, rich_markup_mode=None)
    spoken = _spoken(command)
    group.command("artifact" if command is not listing else "artifacts")(spoken)
    if command is listing:
        group.command("artifact", hidden=True)(spoken)
    else:
        group.callback()(lambda: None)  # keeps the member's name although it is the only one
    return group


def _spoken(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, whose errors speak of options."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except FleetbeatError as error:
            message = error.message
            for field, option in _OPTIONS.items():
                message = message.replace(field, option)
            raise type(error)(message) from error

    return run


def build(
    path: FromPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("artifact.tgz"),
    ignore: Ignore = [],  # noqa: B006
) -> None:
    """Write a directory as the archive that `push artifact` would upload."""
    from workers.cli import artifact

    artifact.build(path, output, _ignored(ignore))


def push(
    url: Url,
    path: FromPath,
    source: Annotated[str, typer.Option("--source", help="Where the content comes from, such as a Git URL.")],
    revision: Annotated[str, typer.Option("--revision", help="Which, such as main@sha1:….")],
    annotations: Annotated[list[str], typer.Option("--annotations", "-a", metavar="KEY=VALUE", help="More.")] = [],  # noqa: B006
    ignore: Ignore = [],  # noqa: B006
    reproducible: Annotated[bool, typer.Option("--reproducible", help="Equal content, equal digest.")] = False,
    creds: Creds = "",
    insecure: Insecure = False,
    output: Output = "",
    timeout: Timeout = "5m",
) -> None:
    """Upload a directory as an artifact that OCIRepositories follow.

    For example `push artifact oci://ghcr.io/org/apps:latest --path ./deploy --source URL --revision main@sha1:…`.
    """
    from fleetbeat.sources.oci.flux import REVISION, SOURCE
    from workers.cli import artifact
    from workers.cli.create import pairs
    from workers.cli.formats import asked

    origin = {**pairs("--annotations", annotations), SOURCE: source, REVISION: revision}
    artifact.push_artifact(
        url,
        path,
        origin,
        _ignored(ignore),
        _options(creds, insecure, timeout),
        asked(output, "json", "yaml"),
        reproducible=reproducible,
    )


def pull(
    url: Url,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to unpack into.")],
    creds: Creds = "",
    insecure: Insecure = False,
    timeout: Timeout = "5m",
) -> None:
    """Unpack an artifact into a directory."""
    from workers.cli import artifact

    artifact.pull(url, output, _options(creds, insecure, timeout))


def tag(
    url: Url,
    tags: Annotated[list[str], typer.Option("--tag", help="New tag; may be repeated.")],
    creds: Creds = "",
    insecure: Insecure = False,
    timeout: Timeout = "5m",
) -> None:
    """Give an artifact further tags.

    For example `tag artifact oci://ghcr.io/org/apps:latest --tag staging`.
    """
    from workers.cli import artifact

    artifact.tag(url, listed(tags), _options(creds, insecure, timeout))


def diff(
    url: Url,
    path: FromPath,
    ignore: Ignore = [],  # noqa: B006
    creds: Creds = "",
    insecure: Insecure = False,
    timeout: Timeout = "5m",
) -> None:
    """Compare a directory with an artifact; the exit code is 1 when they differ."""
    from workers.cli import artifact

    if artifact.diff(url, path, _ignored(ignore), _options(creds, insecure, timeout)):
        raise SystemExit(artifact.DIFFERENT)


def listing(
    url: Annotated[str, typer.Argument(metavar="oci://HOST/PATH", show_default=False)],
    semver: Annotated[str, typer.Option("--filter-semver", help="Only tags in this range of versions.")] = "",
    pattern: Annotated[str, typer.Option("--filter-regex", help="Only tags that this pattern matches.")] = "",
    creds: Creds = "",
    insecure: Insecure = False,
    output: Output = "",
    timeout: Timeout = "5m",
) -> None:
    """List the artifacts of a repository with where they came from."""
    from workers.cli import artifact
    from workers.cli.formats import asked

    artifact.listing(url, semver, pattern, _options(creds, insecure, timeout), asked(output, "json", "yaml"))


def _options(creds: str, insecure: bool, timeout: str) -> Options:
    from workers.cli.artifact import Options

    return Options(creds, insecure, seconds(timeout))


def _ignored(words: list[str]) -> str:
    return "\n".join(listed(words))
