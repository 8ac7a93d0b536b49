"""From a chart that was found to the package that is stored: values files merged, version marked, dependencies there.

Owns what makes a chart *packaged* (by us, deterministically) instead of *pulled* (stored as it came), and the sentence
that says so. Credentials, clusters and stores are other people's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from fleetbeat.artifacts.archive import Archive
from fleetbeat.errors import (
    ArchiveInvalid,
    ChartPackageFailed,
    ChartPullFailed,
    InvalidChartReference,
    ValuesFilesFailed,
)
from fleetbeat.sources.helm.chart import VALUES_FILE, Chart, read_package
from fleetbeat.sources.helm.dependencies import Repositories
from fleetbeat.sources.helm.dependencies import build as build_dependencies
from fleetbeat.sources.helm.repositories import ChartRepository, Found
from fleetbeat.sources.helm.tree import SourceTree
from fleetbeat.sources.helm.values import merge_values
from fleetbeat.sources.helm.versions import same, with_metadata

Read = Callable[[str], bytes | None]
"""A values file by its path; None when there is none."""


@dataclass(frozen=True)
class Options:
    """What a spec asks of its chart."""

    values_files: tuple[str, ...] = ()
    ignore_missing: bool = False
    metadata: str = ""
    """Build metadata that the version gets; empty: the version stays as it is."""


@dataclass(frozen=True)
class Built:
    """A package that is ready to be stored."""

    name: str
    version: str
    archive: Archive | None
    """None: the version is the one that is stored already."""
    packaged: bool = False
    values_files: tuple[str, ...] = ()
    """Those that were merged."""
    dependencies: int = 0
    """How many were added."""

    @property
    def reason(self) -> str:
        return "ChartPackageSucceeded" if self.packaged else "ChartPullSucceeded"

    @property
    def summary(self) -> str:
        """`packaged 'app' chart with version '1.2.3' and merged values files [a.yaml]`."""
        text = f"{'packaged' if self.packaged else 'pulled'} '{self.name}' chart with version '{self.version}'"
        if self.values_files:
            text += f" and merged values files [{' '.join(self.values_files)}]"
        return f"{text}, with {self.dependencies} dependencies added" if self.dependencies else text


Known = Callable[[str, str], bool]
"""Whether the chart of that name and version is stored already and stands."""


def marked(found: Found | Chart, options: Options) -> str:
    """The version that the package of a chart will have."""
    return with_metadata(found.version, options.metadata) if options.metadata else found.version


def from_repository(repository: ChartRepository, found: Found, options: Options, out: BinaryIO) -> Built:
    """The package of a chart that a repository has, written to the empty `out`."""
    version = marked(found, options)
    repository.download(found, out)
    chart = _expected(read_package(out, f"chart {found.name} {found.version}", ChartPullFailed), found)
    if not options.values_files and version == found.version:
        return Built(found.name, version, _as_it_came(out, len(chart.files)))
    chart, merged = _with_values(chart, options, lambda path: chart.files.get(_inside(path)))
    return _packed(chart.at_version(version), out, merged, 0)


def from_tree(
    tree: SourceTree, path: str, options: Options, known: Known, repositories: Repositories, out: BinaryIO
) -> Built:
    """The package of the chart at `path` of a source's artifact, written to the empty `out`."""
    located = tree.locate(path, "spec.chart")
    chart, directory = tree.chart(located, "spec.chart")
    version = marked(chart, options)
    if known(chart.name, version):
        return Built(chart.name, version, None)
    read: Read = lambda file: tree.read(tree.locate(file, "spec.valuesFiles"))  # noqa: E731
    try:
        chart, merged = _with_values(chart, options, read)
    except InvalidChartReference as error:
        raise ValuesFilesFailed(error.message) from error
    added = 0
    if directory:
        chart, added = build_dependencies(chart, located, tree, repositories)
    return _packed(chart.at_version(version), out, merged, added)


def _as_it_came(out: BinaryIO, files: int) -> Archive:
    out.seek(0)
    digest = hashlib.file_digest(out, "sha256").hexdigest()  # type: ignore[arg-type]
    size = out.tell()
    out.seek(0)
    return Archive(out, f"sha256:{digest}", size, files)


def _expected(chart: Chart, found: Found) -> Chart:
    """The chart in a package must be the one that was asked for."""
    if chart.name != found.name or not same(chart.version, found.version):
        raise ChartPullFailed(
            f"the package of chart {found.name} {found.version} holds {chart.name} {chart.version}; it is not used"
        )
    return chart


def _with_values(chart: Chart, options: Options, read: Read) -> tuple[Chart, tuple[str, ...]]:
    """The chart with the values files merged into its values.yaml, and which there were."""
    if not options.values_files:
        return chart, ()
    found: list[tuple[str, bytes]] = []
    for path in options.values_files:
        content = read(path)
        if content is not None:
            found.append((path, content))
        elif not options.ignore_missing:
            raise ValuesFilesFailed(_missing(chart, path))
    if not found:
        return chart, ()
    merged = merge_values(found)
    return chart.with_files({VALUES_FILE: merged}), tuple(path for path, _ in found)


def _missing(chart: Chart, path: str) -> str:
    remedy = (
        "write the path from the root of the source" if _inside(path) in chart.files else "correct spec.valuesFiles"
    )
    return f"spec.valuesFiles: {path!r} does not exist; {remedy}, or set spec.ignoreMissingValuesFiles"


def _inside(path: str) -> str:
    return path.removeprefix("./")


def _packed(chart: Chart, out: BinaryIO, merged: Sequence[str], added: int) -> Built:
    out.seek(0)
    out.truncate()
    try:
        archive = chart.pack(out)
    except ArchiveInvalid as error:
        raise ChartPackageFailed(f"chart {chart.name}: {error.message}") from error
    return Built(chart.name, chart.version, archive, True, tuple(merged), added)
