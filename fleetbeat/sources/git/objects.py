"""Reading objects out of a folder of packs.

Owns the lookup only: the packs are those of a mirror, written by `pack.add_pack`, so there are no loose objects and no
alternates to consult, and a read costs no system call.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dulwich.object_format import SHA1
from dulwich.objects import ObjectID
from dulwich.pack import Pack


class Objects:
    """The objects of all packs in a folder, as they were when it was opened."""

    def __init__(self, folder: Path) -> None:
        self._packs = [Pack(str(file.with_suffix("")), object_format=SHA1) for file in sorted(folder.glob("*.pack"))]

    def read(self, id: bytes) -> tuple[int, bytes]:
        """Type number and content of the object with that id (40 hex digits); KeyError when it is not there."""
        for position, pack in enumerate(self._packs):
            try:
                found = pack.get_raw(ObjectID(id))
            except KeyError:
                continue
            if position:  # neighbours lie in the same pack
                self._packs.insert(0, self._packs.pop(position))
            return found
        raise KeyError(id.decode("ascii", "replace"))

    def __contains__(self, id: bytes) -> bool:
        return any(ObjectID(id) in pack for pack in self._packs)

    def close(self) -> None:
        for pack in self._packs:
            with suppress(BufferError):  # an error on its way up still holds a view of a damaged pack
                pack.close()
