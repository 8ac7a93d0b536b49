"""From encrypted files and objects to plain ones: what is encrypted, with which data key, and who vouches for it.

Kustomize changes objects, so their MAC cannot hold after a build. Instead the file that an encrypted object was made of
is checked as it stands in the source; a file tells that it is the one by repeating the object's MAC.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import msgspec
import orjson

from fleetbeat.errors import BuildFailed
from fleetbeat.render.engine import Engine, Sealed, UnparsableText, UnsealTask
from fleetbeat.render.objects import decoded, describe, is_encrypted, is_secret, wants_decryption
from fleetbeat.render.sops.datakey import Metadata, data_key, metadata_of
from fleetbeat.render.sops.keys import Keys

_SIGN = b"ENC["
_ENDINGS = ((".yaml", "yaml"), (".yml", "yaml"), (".json", "json"), (".dockerconfigjson", "json"))
_ENDINGS_FLAT = ((".env", "dotenv"), (".ini", "ini"))


def format_of(key: str) -> str:
    """The format in which the value of a Secret's key is meant, by the key's ending."""
    return next((name for ending, name in (*_ENDINGS, *_ENDINGS_FLAT) if key.endswith(ending)), "binary")


@dataclass(frozen=True)
class _Piece:
    """An encrypted text in an object: the object itself, or one value of a Secret."""

    at: int
    """Position of the object."""
    where: str
    field: str = ""
    """`data` or `stringData` of a Secret; "" for a whole object."""
    key: str = ""
    text: bytes = b""


@dataclass
class Unsealer:
    """Decrypts for one run; remembers data keys as long as that."""

    engine: Engine
    keys: Keys
    timeout: float = 60.0
    """Seconds that all of it may take."""
    _known: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._until = monotonic() + self.timeout

    def files(self, sealed: Sequence[Sealed]) -> dict[str, bytes]:
        """The plain content by path of files that kustomize reads. Raises BuildFailed naming file and reason."""
        names = [one.path for one in sealed]
        blocks = self._describe(sealed, names)
        tasks = [
            UnsealTask(one.format, one.text, self._key(block, name), into=one.format, check=True)
            for one, name, (_, block) in zip(sealed, names, blocks, strict=True)
        ]
        return dict(zip(names, self._unseal(tasks, names), strict=True))

    def objects(self, objects: list[dict[str, Any]], origins: Sequence[Sealed]) -> list[int]:
        """Decrypt in place; the positions of what was encrypted. Raises BuildFailed naming object and reason."""
        pieces = [piece for at, obj in enumerate(objects) if wants_decryption(obj) for piece in _pieces(at, obj)]
        whole = [piece for piece in pieces if not piece.field]
        values = self._sealed_values([piece for piece in pieces if piece.field])
        tasks, names = self._vouch(whole, objects, origins)
        vouched = len(tasks)
        for piece in whole:
            obj = objects[piece.at]
            key = self._key(metadata_of(obj["sops"], piece.where), piece.where)
            tasks.append(UnsealTask("json", orjson.dumps(obj), key, into="json", check=False))
        for piece, sealed_format, block in values:
            key = self._key(block, piece.where)
            tasks.append(UnsealTask(sealed_format, piece.text, key, into=format_of(piece.key), check=True))
        done = [*whole, *(piece for piece, _, _ in values)]
        plain = self._unseal(tasks, [*names, *(piece.where for piece in done)])[vouched:]
        for piece, text in zip(done, plain, strict=True):
            _put(objects, piece, text)
        return sorted({piece.at for piece in done})

    def _sealed_values(self, pieces: Sequence[_Piece]) -> list[tuple[_Piece, str, Metadata]]:
        """Those that are encrypted indeed, with the format and the sops block of their text."""
        texts = [Sealed(format="", text=piece.text) for piece in pieces]
        described = self._describe(texts, [piece.where for piece in pieces])
        return [(piece, name, block) for piece, (name, block) in zip(pieces, described, strict=True) if name]

    def _vouch(
        self, pieces: Sequence[_Piece], objects: Sequence[Mapping[str, Any]], origins: Sequence[Sealed]
    ) -> tuple[list[UnsealTask], list[str]]:
        """What to check before whole objects are decrypted: the MAC of every file that an object may be made of."""
        if not pieces:
            return [], []
        described = self._describe(origins, [origin.path for origin in origins])
        wanted = {objects[piece.at]["sops"]["mac"]: piece for piece in pieces}
        found = [(origin, block) for origin, (_, block) in zip(origins, described, strict=True) if block.mac in wanted]
        missing = wanted.keys() - {block.mac for _, block in found}
        for mac in missing:
            raise BuildFailed(
                f"{wanted[mac].where} is encrypted, and no file of the source has its MAC, so that nobody can tell "
                "whether it was changed; encrypt the file that it comes from with sops, not a patch of it"
            )
        tasks = [
            UnsealTask(origin.format, origin.text, self._key(block, origin.path), into="", check=True)
            for origin, block in found
        ]
        return tasks, [origin.path for origin, _ in found]

    def _key(self, block: Metadata, where: str) -> bytes:
        asked = msgspec.json.encode((block.groups, block.shamir_threshold))
        if asked not in self._known:
            self._known[asked] = data_key(block, self.keys, where, self._until)
        return self._known[asked]

    def _describe(self, sealed: Sequence[Sealed], names: Sequence[str]) -> list[tuple[str, Metadata]]:
        """Format and sops block of each text; a text that is not encrypted has no format."""
        if not sealed:
            return []
        try:
            found = self.engine.describe(sealed, timeout=self._left())
        except UnparsableText as broken:
            raise BuildFailed(f"{names[broken.index]}: {broken.message}") from None
        return [(one.format, metadata_of(one.metadata or {}, name)) for one, name in zip(found, names, strict=True)]

    def _unseal(self, tasks: Sequence[UnsealTask], names: Sequence[str]) -> list[bytes]:
        if not tasks:
            return []
        try:
            return self.engine.unseal(tasks, timeout=self._left())
        except UnparsableText as broken:
            raise BuildFailed(f"{names[broken.index]}: {broken.message}") from None

    def _left(self) -> float:
        return max(1.0, self._until - monotonic())


def _pieces(at: int, obj: Mapping[str, Any]) -> Iterable[_Piece]:
    where = describe(obj)
    if is_encrypted(obj):
        yield _Piece(at, where)
        return
    if not is_secret(obj):
        return
    for name in ("data", "stringData"):
        values = obj.get(name)
        for key, value in values.items() if isinstance(values, dict) else ():
            text = decoded(value) if name == "data" else str(value).encode()
            if _SIGN in text:
                yield _Piece(at, f"{where}: {name}[{key}]", name, key, text)


def _put(objects: list[dict[str, Any]], piece: _Piece, text: bytes) -> None:
    if not piece.field:
        objects[piece.at] = orjson.loads(text)
    elif piece.field == "data":
        objects[piece.at]["data"][piece.key] = base64.b64encode(text).decode()
    else:
        objects[piece.at]["stringData"][piece.key] = text.decode()
