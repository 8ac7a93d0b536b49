"""`fleetbeat build|push|pull|tag|diff|list artifact`: artifacts of registries from and to this machine.

Owns the commands' course and what they print. It talks to the registry alone: no cluster is needed. The login is that
of --creds, else of Docker's own configuration file.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fleetbeat.artifacts.archive import Archive, Entry, Limits, write_archive
from fleetbeat.errors import CommandFailed
from fleetbeat.sources import local
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.oci.flux import REVISION, SOURCE, Reference, push
from fleetbeat.sources.oci.login import KEY, NOBODY, Access, Login, find_login
from fleetbeat.sources.oci.manifest import Manifest
from fleetbeat.sources.oci.push import WritableRegistry
from fleetbeat.sources.oci.reference import Repository, is_digest, is_tag
from fleetbeat.sources.oci.tarball import Tarball, unfold
from fleetbeat.sources.patterns import compile_pattern
from fleetbeat.sources.semver import Range, parse_version
from workers.cli import table
from workers.cli.formats import Format, dump
from workers.cli.terminal import Terminal, Tone
from workers.cli.transfer import Transfer

EVERYTHING = "!*"
"""As spec.ignore: nothing is left out."""
_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?")
"""Registries of this machine, which may speak plain HTTP without a word, as with other tools."""
DIFFERENT = 1
"""Exit code of a diff that found something."""


@dataclass(frozen=True)
class Options:
    """How the registry is reached."""

    creds: str = ""
    """`user:password`, or a token alone."""
    insecure: bool = False
    timeout: float = 300.0
    """Seconds for the whole command."""


def build(path: Path, output: Path, ignored: str) -> None:
    """Write the archive of a directory to a file."""
    with _archived(path, ignored) as archive:
        output.write_bytes(archive.file.read())
    Terminal().state(Tone.GOOD, f"{output}  {archive.digest}, {archive.entries} entries, {archive.size} bytes")


def push_artifact(
    url: str,
    path: Path,
    origin: Mapping[str, str],
    ignored: str,
    options: Options,
    output: Format,
    *,
    reproducible: bool = False,
) -> None:
    """Upload a directory as an artifact; `origin` holds annotations, source and revision among them."""
    target = _tagged(url)
    created = datetime.fromtimestamp(0, UTC) if reproducible else datetime.now(UTC)
    with _archived(path, ignored) as archive, Transfer(f"{target}", archive.size) as transfer:
        registry = _registry(target, options)
        digest = push(registry, target.name, archive, created, origin, transfer.add)
    where = f"{target.repository}@{digest}"
    if output is Format.TABLE:
        Terminal().state(Tone.GOOD, f"{target}  pushed as {where}")
        return
    fields = {"url": f"oci://{where}", "repository": str(target.repository), "tag": target.name, "digest": digest}
    Terminal().line(dump(fields, output))


def pull(url: str, output: Path, options: Options) -> None:
    """Unpack the content of an artifact below a directory, which must be there; files of the same name are replaced."""
    if not output.is_dir():
        raise CommandFailed(f"--output {output} is not a directory")
    reference = Reference.parse(url)
    count = 0
    with _content(reference, options) as (manifest, entries):
        for entry in entries:
            _write(output, entry)
            count += entry.read is not None
    said = manifest.annotations
    Terminal().state(Tone.GOOD, f"{reference}  {count} files of {said.get(SOURCE, 'unknown source')}")
    Terminal().line(f"  revision {said.get(REVISION, 'unknown')}, digest {manifest.digest}")


def tag(url: str, names: list[str], options: Options) -> None:
    """Give an artifact further tags; nothing is copied."""
    reference = Reference.parse(url)
    wrong = [name for name in names if not is_tag(name)]
    if wrong or not names:
        raise CommandFailed(f"--tag {wrong[0]!r} is not a tag" if wrong else "name at least one --tag")
    registry = _registry(reference, options)
    manifest = registry.manifest(reference.name)
    for name in names:
        registry.push_manifest(name, manifest.raw, manifest.media_type)
        Terminal().state(Tone.GOOD, f"oci://{reference.repository}:{name}  {manifest.digest}")


def diff(url: str, path: Path, ignored: str, options: Options) -> bool:
    """Print how a directory differs from an artifact; True when it does."""
    reference = Reference.parse(url)
    with _content(reference, options) as (manifest, entries):
        there = _files(entries)
    here = _files(local.entries(path, ignored))
    lines = [line for name in sorted(there.keys() | here.keys()) for line in _change(name, there, here)]
    out = Terminal()
    for line in lines:
        out.line(line)
    verdict = "differs" if lines else "has no changes"
    out.state(Tone.WAIT if lines else Tone.GOOD, f"{reference}  {verdict} ({manifest.digest})")
    return bool(lines)


def listing(url: str, semver: str, pattern: str, options: Options, output: Format) -> None:
    """Print the tags of a repository with where each came from."""
    repository = Repository.parse(url, "the URL")
    registry = _registry(Reference(repository, "latest"), options)
    rows = []
    for name in sorted(_matching(registry.tags(), semver, pattern)):
        manifest = registry.manifest(name)
        said = manifest.annotations
        found = {"artifact": f"{repository}:{name}", "digest": manifest.digest}
        rows.append({**found, "source": said.get(SOURCE, ""), "revision": said.get(REVISION, "")})
    if output is not Format.TABLE:
        Terminal().line(dump(rows, output))
        return
    columns = ("artifact", "digest", "source", "revision")
    _print_table([column.upper() for column in columns], [[row[column] for column in columns] for row in rows])


def login_of(repository: Repository, creds: str, env: Mapping[str, str]) -> Login:
    """The account for a repository: of --creds, else of Docker's configuration file, else nobody's."""
    if creds:
        user, colon, password = creds.partition(":")
        return Login(user, password) if colon else Login(registry_token=creds)
    file = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "~")) / ".docker").expanduser() / "config.json"
    if not file.is_file():
        return NOBODY
    return find_login({KEY: file.read_bytes()}, str(file), repository) or NOBODY


def _registry(reference: Reference, options: Options) -> WritableRegistry:
    login = login_of(reference.repository, options.creds, os.environ)
    insecure = options.insecure or _LOOPBACK.fullmatch(reference.repository.host) is not None
    access = Access(login, insecure=insecure, advice="log in with `docker login`, or pass --creds")
    return WritableRegistry(reference.repository, access, Deadline.after(options.timeout))


def _tagged(url: str) -> Reference:
    reference = Reference.parse(url)
    if is_digest(reference.name):
        raise CommandFailed(f"{url} names a digest; what is pushed gets a tag")
    return reference


@contextmanager
def _archived(path: Path, ignored: str) -> Iterator[Archive]:
    with tempfile.TemporaryFile() as file:
        yield write_archive(local.entries(path, ignored, modes=True), file)


@contextmanager
def _content(reference: Reference, options: Options) -> Iterator[tuple[Manifest, Iterator[Entry]]]:
    """The manifest and all that is in its first layer, verified."""
    registry = _registry(reference, options)
    manifest = registry.manifest(reference.name)
    if not manifest.layers:
        raise CommandFailed(f"{reference} has no layer with content")
    layer, deadline = manifest.layers[0], Deadline.after(options.timeout)
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as tar:
        with Transfer(str(reference), layer.size) as transfer:
            registry.blob(layer, file, progress=transfer.add)
        unfold(file, tar, Limits(), deadline)
        yield manifest, Tarball(tar, Limits(), deadline).entries(EVERYTHING)


def _matching(tags: Iterable[str], semver: str, pattern: str) -> list[str]:
    """The tags in a range of versions that a pattern matches; empty ones take all."""
    if semver:
        wanted = Range(semver, "--filter-semver")
        versions = ((tag, parse_version(tag.replace("_", "+"))) for tag in tags)
        tags = [tag for tag, version in versions if version is not None and version in wanted]
    accepted = compile_pattern(pattern, "--filter-regex").matches if pattern else lambda _: True
    return [tag for tag in tags if accepted(tag)]


def _files(entries: Iterable[Entry]) -> dict[str, bytes]:
    return {entry.path: entry.read() for entry in entries if entry.read is not None}


def _change(name: str, there: Mapping[str, bytes], here: Mapping[str, bytes]) -> Iterator[str]:
    """The lines of a unified diff of one file; one line where it is not text."""
    old, new = there.get(name), here.get(name)
    if old == new:
        return
    try:
        texts = [(content or b"").decode().splitlines() for content in (old, new)]
    except UnicodeDecodeError:
        yield f"binary file {name} differs"
        return
    labels = ["/dev/null" if content is None else f"{side}/{name}" for side, content in (("a", old), ("b", new))]
    lines = list(difflib.unified_diff(texts[0], texts[1], labels[0], labels[1], lineterm=""))
    yield from lines or (f"the line ends of {name} differ",)


def _write(root: Path, entry: Entry) -> None:
    """Entries stay below `root` by their checked paths; a symlink that is there could still lead out of it."""
    target = root / entry.path
    if any(place.is_symlink() for place in (target, *target.parents) if place != root and root in place.parents):
        raise CommandFailed(f"{target} leads through a symlink, which is not written through; remove it")
    if entry.read is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(entry.read())
    target.chmod(0o755 if entry.executable else 0o644)


def _print_table(titles: list[str], rows: list[list[str]]) -> None:
    out = Terminal()
    block = table.Block(titles, [[table.Cell(text) for text in row] for row in rows])
    for line in table.lines([block], width=out.width, colour=out.colour):
        out.line(line)
