"""The index of a chart repository, fetched: asked whether it changed, hashed, turned into our JSON.

Owns the order of these steps and what is not done when nothing changed.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fleetbeat.artifacts.archive import Archive
from fleetbeat.errors import IndexationFailed, IndexNotFetched
from fleetbeat.sources.helm.http import ChartServer, Missing, shown
from fleetbeat.sources.helm.index import convert
from fleetbeat.sources.helm.limits import LIMITS

INDEX = "index.yaml"


@dataclass(frozen=True)
class IndexResult:
    """What the server has now."""

    revision: str
    """`sha256:<hex>` of the index as sent."""
    archive: Archive | None = None
    """Its JSON; None when the revision is the one that is known."""
    validator: str = ""
    """For the next request; may be empty."""
    size: int = 0
    """Bytes of the index as sent."""


def fetch_index(server: ChartServer, observed: str | None, validator: str, scratch: Path) -> IndexResult:
    """Fetch the index unless it is still that of revision `observed`, for which the server gave `validator`.

    Raises IndexNotFetched, IndexationFailed, AuthenticationFailed or InvalidURL. Nothing stays in `scratch`.
    """
    with tempfile.TemporaryFile(dir=scratch) as sent:
        url = server.locate(INDEX)
        try:
            answer = server.get(url, sent, LIMITS.index_bytes, validator if observed else "", packed=True)
        except Missing as error:
            raise IndexNotFetched(f"{error.message}; spec.url must be the URL above the {INDEX}") from error
        if answer.unchanged and observed:
            return IndexResult(observed, validator=validator)
        revision = f"sha256:{hashlib.file_digest(sent, 'sha256').hexdigest()}"
        if revision == observed:
            return IndexResult(revision, validator=answer.validator)
        sent.seek(0)
        archive = _converted(sent, scratch, shown(server.url))
        return IndexResult(revision, archive, answer.validator, answer.size)


def _converted(sent: BinaryIO, scratch: Path, where: str) -> Archive:
    out = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - the archive's holder closes it
    try:
        counted = convert(sent, out)
        size = out.tell()
        out.seek(0)
        digest = hashlib.file_digest(out, "sha256").hexdigest()
        out.seek(0)
    except BaseException as error:
        out.close()
        if isinstance(error, IndexationFailed):
            raise IndexationFailed(f"{where}: {error.message}") from error
        raise
    return Archive(out, f"sha256:{digest}", size, counted.versions)
