"""What a registry said a moment ago of a reference: what it picks, and the manifest behind it.

Whom that serves is `lastlook.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from fleetbeat.errors import OCIPullFailed
from fleetbeat.sources import lastlook
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.lastlook import LastLook
from fleetbeat.sources.oci.manifest import Descriptor, Manifest, read_manifest
from fleetbeat.sources.oci.pick import Picked
from fleetbeat.sources.oci.reference import verify

LASTS = 60_000
"""Milliseconds for which a look serves others."""


class _Look(msgspec.Struct, frozen=True):
    tag: str
    descriptor: Descriptor
    digest: str = ""
    media_type: str = ""
    manifest: bytes = b""
    """The manifest of layers that the descriptor led to, as the registry sent it; empty until somebody needed it."""


_decoder = msgspec.json.Decoder(_Look)


class Look:
    """The last look at one reference by one account; open while this process alone may look."""

    def __init__(self, last: LastLook) -> None:
        self._last = last
        self._found: _Look | None = None
        with suppress(msgspec.MsgspecError):
            self._found = None if last.found is None else _decoder.decode(last.found)

    @property
    def picked(self) -> Picked | None:
        """What was found since then; None when somebody has to look."""
        return None if self._found is None else Picked(self._found.descriptor, self._found.tag)

    @property
    def manifest(self) -> Manifest | None:
        """What was read since then, verified again; None when it was not."""
        found = self._found
        if found is None or not found.manifest:
            return None
        with suppress(OCIPullFailed):
            verify(found.manifest, found.digest, "a manifest of the cache")
            return read_manifest(found.manifest, found.digest, found.media_type, "a manifest of the cache")
        return None

    def keep(self, picked: Picked, manifest: Manifest | None = None) -> None:
        """What a look found; the manifest may follow later."""
        more = (manifest.digest, manifest.media_type, manifest.raw) if manifest else ()
        self._found = _Look(picked.tag, picked.descriptor, *more)
        self._last.keep(msgspec.json.encode(self._found))


@contextmanager
def opened(folder: Path, name: str, asked: int, now: int, deadline: Deadline) -> Iterator[Look]:
    """As `lastlook.opened`."""
    with lastlook.opened(folder, name, asked, now, LASTS, deadline) as last:
        yield Look(last)
