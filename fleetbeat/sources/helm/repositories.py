"""Where charts are listed and downloaded from: an index with an HTTP(S) server, or a registry.

Owns how a name and a range become one package, and the proof that it is that one. Which credentials go along is decided
before: a repository is made for one account and one run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from fleetbeat.errors import (
    ChartPullFailed,
    ChartUnverified,
    InvalidChartReference,
    InvalidURL,
    OCINotFound,
    OCIPullFailed,
    VerificationFailed,
)
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.helm.http import ChartServer, Missing, shown
from fleetbeat.sources.helm.index import Entry, entries_of
from fleetbeat.sources.helm.limits import LIMITS
from fleetbeat.sources.helm.versions import choose, highest, lenient
from fleetbeat.sources.oci.login import Access
from fleetbeat.sources.oci.manifest import CHART_LAYER, Manifest
from fleetbeat.sources.oci.reference import Repository as Place
from fleetbeat.sources.oci.registry import Registry

CHART, VERSION = "spec.chart", "spec.version"
_EXACT = re.compile(r"v?\d+\.\d+\.\d+([-+].*)?")


@dataclass(frozen=True)
class Found:
    """One version of one chart."""

    name: str
    version: str
    url: str
    """Where its package is, as the repository names it; a tag in a registry."""
    digest: str = ""
    """Hex sha256 of the package; empty where the repository does not say."""


class ChartRepository(Protocol):
    """One repository as one account sees it."""

    def find(self, name: str, version: str, who: str = "") -> Found:
        """That version, or the highest in that range; raises InvalidChartReference when there is none.

        `who` asks, for the message; by default the fields of a HelmChart.
        """

    def download(self, found: Found, out: BinaryIO) -> None:
        """Write its package to `out`, verified and rewound; raises ChartPullFailed or AuthenticationFailed."""


def pull(repository: ChartRepository, name: str, version: str, who: str) -> bytes:
    """The package of a chart, in memory."""
    out = BytesIO()
    repository.download(repository.find(name, version, who), out)
    return out.getvalue()


@dataclass(frozen=True)
class IndexedRepository:
    """An index, and the server that the packages come from."""

    server: ChartServer
    index: Path
    """Our JSON of it (index.py)."""

    def find(self, name: str, version: str, who: str = "") -> Found:
        entries = entries_of(self.index, name)
        if entries is None:
            raise InvalidChartReference(f"{who or CHART}: the index of {shown(self.server.url)} has no chart {name!r}")
        field = who or VERSION
        entry = choose(entries, version, _range_field(who))
        if entry is None:
            newest = choose(entries, ">=0-0", field)
            known = f"the newest is {newest.version}" if newest else "it has no version that could be installed"
            where = f"in the index of {shown(self.server.url)}"
            raise InvalidChartReference(f"{field}: no version of chart {name!r} {where} is in {version!r}; {known}")
        return Found(name, entry.version, entry.urls[0], _hex(entry))

    def download(self, found: Found, out: BinaryIO) -> None:
        url = self._fetch(found, out)
        actual = hashlib.file_digest(out, "sha256").hexdigest()  # type: ignore[arg-type]
        out.seek(0)
        if found.digest and actual != found.digest:
            raise ChartPullFailed(
                f"{shown(url)} has the digest sha256:{actual}, the index says {found.digest}; nothing of it is used"
            )

    def _fetch(self, found: Found, out: BinaryIO) -> str:
        """Download a package to `out`; returns its whole URL."""
        if found.url.startswith("oci://"):
            self._fetch_from_registry(found, out)
            return found.url
        try:
            url = self.server.locate(found.url)
            self.server.get(url, out, LIMITS.chart_bytes)
        except (InvalidURL, Missing) as error:
            raise ChartPullFailed(f"chart {found.name} {found.version}: {error.message}") from error
        return url

    def _fetch_from_registry(self, found: Found, out: BinaryIO) -> None:
        """An index may name packages in a registry; it is asked as nobody, for it is never the index's own server."""
        place, _, tag = found.url.rpartition(":")
        url, _, name = place.rpartition("/")
        registry = RegistryRepository(url, lambda _: Access(), self.server.deadline)
        registry.download(Found(name, found.version, tag), out)


@dataclass(frozen=True)
class RegistryRepository:
    """A registry with a chart in each of its repositories below one prefix."""

    url: str
    """`oci://host/prefix`."""
    access: Callable[[Place], Access]
    deadline: Deadline
    verify: Callable[[Registry, Manifest], None] | None = None
    """Raises VerificationFailed unless the manifest is signed as it must be."""

    def find(self, name: str, version: str, who: str = "") -> Found:
        if _EXACT.fullmatch(version) and lenient(version) is not None:
            return Found(name, version, _tag(version))
        with _translated(name, version), self._absent(f"{who or CHART}: the registry has no chart {name!r}"):
            tags = self._registry(name).tags()
        best = highest((tag.replace("_", "+") for tag in tags), version, _range_field(who))
        if best is None:
            raise InvalidChartReference(f"{who or VERSION}: no tag of {self.url}/{name} is a version in {version!r}")
        return Found(name, best, _tag(best))

    def download(self, found: Found, out: BinaryIO) -> None:
        registry = self._registry(found.name)
        with _translated(found.name, found.version):
            with self._absent(f"the registry has no chart {found.name!r} of version {found.version}"):
                manifest = registry.manifest(found.url)
            layer = next((layer for layer in manifest.layers if layer.media_type == CHART_LAYER), None)
            if layer is None:
                raise ChartPullFailed(
                    f"{self.url}/{found.name}:{found.url} is no Helm chart: no layer is {CHART_LAYER}"
                )
            if self.verify is not None:
                self.verify(registry, manifest)
            registry.blob(layer, out, LIMITS.chart_bytes)
        out.flush()
        out.seek(0)

    @contextmanager
    def _absent(self, message: str) -> Iterator[None]:
        """What is not there, in words of charts."""
        try:
            yield
        except OCINotFound as error:
            raise InvalidChartReference(f"{message} at {self.url}") from error

    def _registry(self, name: str) -> Registry:
        try:
            place = Place.parse(f"{self.url.rstrip('/')}/{name}", "the chart's reference")
        except InvalidURL as error:
            raise InvalidChartReference(error.message) from error
        return Registry(place, self.access(place), self.deadline)


def _tag(version: str) -> str:
    """Tags cannot hold a plus sign."""
    return version.replace("+", "_")


def _hex(entry: Entry) -> str:
    return (entry.digest or "").removeprefix("sha256:").lower()


def _range_field(who: str) -> str:
    """What a range of versions is called."""
    return f"{who}: version" if who else VERSION


@contextmanager
def _translated(name: str, version: str) -> Iterator[None]:
    """A registry's errors as those of charts."""
    try:
        yield
    except OCIPullFailed as error:
        message = f"chart {name!r} {version}: {error.message}"
        raise ChartPullFailed(message, retry_after=error.retry_after, asked_by=error.asked_by) from error
    except VerificationFailed as error:
        raise ChartUnverified(error.message) from error
