"""The charts that a chart's directory needs and does not have: found by its lock or its ranges, put into its charts/.

Owns which ones are missing and which versions will do. Where a repository's charts come from is the caller's business,
who knows credentials; directories of the same artifact come from its tree.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from fleetbeat.errors import ChartFailed, DependencyBuildFailed, FleetbeatError, InvalidChartReference
from fleetbeat.sources.helm.chart import Chart, Dependency, read_package
from fleetbeat.sources.helm.repositories import ChartRepository, pull
from fleetbeat.sources.helm.tree import SourceTree
from fleetbeat.sources.helm.versions import lenient, range_of

Repositories = Callable[[str], ChartRepository]
"""URL (http, https or oci) → the repository, as whoever asks may see it."""


def build(chart: Chart, path: str, tree: SourceTree, repositories: Repositories) -> tuple[Chart, int]:
    """`chart`, whose directory is `path`, with all it needs, and how many were added; raises DependencyBuildFailed."""
    builder = _Builder(chart, path, tree, repositories)
    try:
        missing = builder.missing()
        added: dict[str, bytes] = {}
        for dependency in missing:
            found = builder.resolve(dependency)
            added |= _placed(found, added)
    except DependencyBuildFailed:
        raise
    except ChartFailed as error:
        raise DependencyBuildFailed(error.message, retry_after=error.retry_after) from error
    return chart.with_files(added), len(missing)


class _Builder:
    def __init__(self, chart: Chart, path: str, tree: SourceTree, repositories: Repositories) -> None:
        self._chart = chart
        self._path = path
        self._tree = tree
        self._repositories = repositories

    def missing(self) -> list[Dependency]:
        """What is declared (the lock says in which version) and not vendored, each version of a chart once."""
        declared = self._chart.dependencies()
        vendored = self._chart.vendored if declared else set()
        wanted = [one for one in declared if one.name not in vendored]
        locked = self._chart.lock() if wanted else None
        if locked is not None:
            wanted = [self._locked(one, locked) for one in wanted]
        return list({(one.name, one.version, one.repository): one for one in wanted}.values())

    def _locked(self, dependency: Dependency, locked: tuple[Dependency, ...]) -> Dependency:
        """The lock's version of a dependency, which must be one that Chart.yaml allows."""
        allowed = range_of(dependency.range, f"dependency {dependency.name}: version")
        for one in locked:
            version = lenient(one.version or "")
            if one.name == dependency.name and version is not None and version in allowed:
                return Dependency(one.name, one.version, one.repository or dependency.repository)
        raise DependencyBuildFailed(
            f"Chart.lock has no version of {dependency.name} in {dependency.range!r}: it is out of sync with"
            " Chart.yaml; run helm dependency update"
        )

    def resolve(self, dependency: Dependency) -> Chart:
        """The chart that a dependency means."""
        where = f"dependency {dependency.name}"
        repository = dependency.repository or ""
        scheme, separator, path = repository.partition("://")
        if scheme == "file" and separator:
            return self._local(dependency, path, where)
        if scheme in ("http", "https", "oci") and separator:
            return self._remote(dependency, repository, where)
        if not repository:
            raise DependencyBuildFailed(f"{where} names no repository and is not in charts/; name one or vendor it")
        raise DependencyBuildFailed(
            f"{where}: the repository {repository[:100]!r} is not supported; use http, https, oci or file"
        )

    def _local(self, dependency: Dependency, path: str, where: str) -> Chart:
        chart, _ = self._tree.chart(self._tree.locate(path, where, self._path), where)
        return self._checked(dependency, chart, where)

    def _remote(self, dependency: Dependency, url: str, where: str) -> Chart:
        try:
            repository = self._repositories(url)
            package = pull(repository, dependency.name, dependency.range, where)
        except DependencyBuildFailed:
            raise
        except FleetbeatError as error:
            told = error.message.startswith(f"{where}: ")
            message = error.message if told else f"{where}: {error.message}"
            raise DependencyBuildFailed(message, retry_after=error.retry_after) from error
        return self._checked(dependency, read_package(BytesIO(package), where), where)

    def _checked(self, dependency: Dependency, chart: Chart, where: str) -> Chart:
        if chart.name != dependency.name:
            raise InvalidChartReference(f"{where}: the chart found is named {chart.name!r}")
        version = lenient(chart.version)
        if version is None or version not in range_of(dependency.range, f"{where}: version"):
            raise InvalidChartReference(f"{where}: found version {chart.version}, which is not in {dependency.range!r}")
        return chart


def _placed(chart: Chart, taken: dict[str, bytes]) -> dict[str, bytes]:
    """Its files below charts/, in a directory of its own."""
    directory = f"charts/{chart.name}"
    if f"{directory}/Chart.yaml" in taken:
        directory = f"{directory}-{chart.version}"
    return {f"{directory}/{path}": content for path, content in chart.files.items()}
