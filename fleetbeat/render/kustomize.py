"""From an artifact to the objects that one Kustomization wants: build, decrypt, substitute, common metadata.

Owns the order of these steps and the checks between them. Must not talk to a cluster, to Redis or to S3: the artifact
is a local file, variables and keys have been read by the caller; only a key service may be asked for a data key. What
leaves here is held in memory only; the cache keeps the form before decryption and substitution.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson

from fleetbeat.api.refs import ObjectId
from fleetbeat.errors import BuildFailed
from fleetbeat.render import objects as checks
from fleetbeat.render.cache import RenderCache, question
from fleetbeat.render.engine import Built, Engine, Sealed
from fleetbeat.render.postbuild import Scope, substitute_all
from fleetbeat.render.sops.keys import Keys
from fleetbeat.render.sops.unseal import Unsealer

PARTS = (
    "targetNamespace",
    "namePrefix",
    "nameSuffix",
    "patches",
    "images",
    "components",
    "ignoreMissingComponents",
    "buildMetadata",
)
"""The fields of the spec that take part in a build, besides `path`."""


@dataclass(frozen=True)
class Rendered:
    """The objects of one Kustomization in build order, and `sha256:<hex>` over all of them (the key of its history)."""

    objects: list[dict[str, Any]]
    digest: str
    cached: bool = False
    """True when nothing had to be built."""
    secretive: frozenset[ObjectId] = frozenset()
    """Those that were decrypted: no message may quote from them."""
    key: str = ""
    """Names the build among those of its question, for `unmoved`; "" without a cache."""
    notes: tuple[str, ...] = ()
    """What the author of the files should know although the build succeeded."""


class _Build(msgspec.Struct, frozen=True, omit_defaults=True):
    """A build before decryption and substitution, as the cache keeps it."""

    objects: list[dict[str, Any]]
    texts: dict[int, str]
    sealed: list[Sealed] = []
    """Encrypted files without whose plain form there is no build; it is made at every render, in memory."""
    origins: list[Sealed] = []
    """Encrypted files that objects are made of."""
    notes: list[str] = []


_build_decoder = msgspec.json.Decoder(_Build)


class _RawBuild(msgspec.Struct, frozen=True, omit_defaults=True):
    objects: msgspec.Raw
    texts: dict[int, str]
    sealed: list[Sealed] = []
    origins: list[Sealed] = []
    notes: list[str] = []


def render(
    engine: Engine,
    artifact_file: Path,
    digest: str,
    spec: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    *,
    keys: Keys | None = None,
    cache: RenderCache | None = None,
    strict: bool = True,
    sealed: bool = False,
    timeout: float = 60.0,
    digest_key: bytes = b"",
) -> Rendered:
    """The objects of a Kustomization `spec` (JSON form, camelCase) from the artifact with this digest.

    `variables` are those of postBuild, merged (see `substitute.merge`); with none, nothing is substituted unless
    `spec.postBuild.substituteStrategy` is Always. `strict` makes an undefined variable an error. `keys` decrypt what is
    encrypted; None where spec.decryption is not set; `sealed` lets encrypted objects pass, for whoever only shows them.
    `timeout` is in seconds. `digest_key` keeps values from being guessed by the digest. Raises ArtifactFailed,
    ArchiveInvalid and BuildFailed.
    """
    source = _Source(engine, artifact_file, digest, spec, keys is not None, timeout)
    body, cached, key = source.build(cache)
    build = _build_decoder.decode(body)
    opened: Sequence[int] = ()
    if keys is not None:
        files = build.sealed
        build, opened = _decrypt(source, build, Unsealer(engine, keys, timeout))
        if files:  # what the build saw with plain files is not kept
            cached, key = False, ""
    for at, obj in enumerate(build.objects):
        if not sealed and at not in opened:
            checks.check_plain(obj, decrypting=keys is not None)
    objects = build.objects
    if variables or (spec.get("postBuild") or {}).get("substituteStrategy") == "Always":
        _renew_texts(engine, build, opened, timeout)
        parse = partial(engine.parse, timeout=timeout)
        objects = substitute_all(objects, build.texts, Scope(variables or {}, strict, parse, source.files, opened))
    for obj in objects:
        checks.check(obj)
    secretive = [objects[at] for at in opened] if len(objects) == len(build.objects) else objects
    _add_common_metadata(objects, spec.get("commonMetadata") or {})
    content = orjson.dumps(objects, option=orjson.OPT_SORT_KEYS)
    hidden = frozenset(ObjectId.of(obj) for obj in secretive)
    return Rendered(objects, f"sha256:{_hash(content, digest_key)}", cached, hidden, key, tuple(build.notes))


def question_of(engine: Engine, spec: Mapping[str, Any], decrypt: bool | None = None) -> str:
    """The name under which the cache keeps the builds of a spec; decrypt: other than `spec.decryption` says."""
    mode = {"decrypt": True} if (spec.get("decryption") is not None if decrypt is None else decrypt) else {}
    return question(engine=engine.version, path=_path(spec), parts=_parts(spec), **mode)


def _path(spec: Mapping[str, Any]) -> str:
    return spec.get("path") or "./"


def _parts(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: spec[name] for name in PARTS if spec.get(name)}


def _decrypt(source: _Source, build: _Build, unsealer: Unsealer) -> tuple[_Build, Sequence[int]]:
    """The build with nothing encrypted in it, and the positions of what holds plain text now."""
    if not build.sealed:
        return build, unsealer.objects(build.objects, build.origins)
    anywhere = any(one.patch for one in build.sealed)
    build = source.build_plain(unsealer.files(build.sealed))
    opened = set(unsealer.objects(build.objects, build.origins))
    opened |= {at for at, obj in enumerate(build.objects) if anywhere or checks.is_secret(obj)}
    return build, sorted(opened)


def _hash(content: bytes, key: bytes) -> str:
    return hmac.digest(key, content, "sha256").hex() if key else hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class _Source:
    """What is built."""

    engine: Engine
    file: Path
    digest: str
    spec: Mapping[str, Any]
    decrypt: bool
    timeout: float

    def build(self, cache: RenderCache | None) -> tuple[bytes, bool, str]:
        """The JSON of a `_Build` before decryption, whether it came from the cache, and its key there."""
        if cache is None:
            return _body(self._ask()), False, ""
        name = question_of(self.engine, self.spec, self.decrypt)
        entries = cache.entries(name)
        hit = next((entry for entry in entries if entry.artifact == self.digest), None)
        if hit is None:
            built = self._ask(known=[entry.closure for entry in entries])
            if built.known is None:
                body = _body(built)
                return body, False, cache.put(name, built.closure, self.digest, body)
            hit = entries[built.known]
        cache.touch(hit, self.digest)
        return hit.body, True, hit.key

    def files(self) -> Sequence[str]:
        """The file of each object; none where files had to be decrypted first."""
        if self.decrypt:
            return ()
        return self.engine.files(self.file, self.digest, _path(self.spec), _parts(self.spec), timeout=self.timeout)

    def build_plain(self, plain: Mapping[str, bytes]) -> _Build:
        """The build with decrypted files. It is never cached, and a failure does not quote them."""
        try:
            return _build_decoder.decode(_body(self._ask(plain=plain)))
        except BuildFailed as failure:
            raise BuildFailed(self._unquoted(failure, plain)) from None

    def _unquoted(self, failure: BuildFailed, plain: Mapping[str, bytes]) -> str:
        """The message where it cannot quote plain text, because empty files lead to the same one."""
        try:
            self._ask(plain=dict.fromkeys(plain, b""))
        except BuildFailed as same:
            if same.message == failure.message:
                return failure.message
        return (
            f"kustomize cannot build with the decrypted content of {', '.join(sorted(plain))}; its message may quote "
            "from there and is not shown: decrypt the files with sops and run `kustomize build`"
        )

    def _ask(self, known: Sequence[Mapping[str, str]] = (), plain: Mapping[str, bytes] | None = None) -> Built:
        return self.engine.build(
            self.file,
            self.digest,
            _path(self.spec),
            _parts(self.spec),
            known=known,
            decrypt=self.decrypt,
            plain=plain,
            timeout=self.timeout,
        )


def _body(built: Built) -> bytes:
    return msgspec.json.encode(_RawBuild(built.objects, built.texts, built.sealed, built.origins, built.notes))


def _renew_texts(engine: Engine, build: _Build, decrypted: Sequence[int], timeout: float) -> None:
    """Of what was decrypted, the text that substitution works on is another one now."""
    texts = engine.texts([build.objects[at] for at in decrypted], timeout=timeout) if decrypted else []
    for at, text in zip(decrypted, texts, strict=True):
        build.texts.pop(at, None)
        if text:
            build.texts[at] = text


def _add_common_metadata(objects: list[dict[str, Any]], common: Mapping[str, Any]) -> None:
    """Labels and annotations of spec.commonMetadata win over the object's own."""
    for field in ("labels", "annotations"):
        if added := common.get(field):
            for obj in objects:
                metadata = obj["metadata"]
                metadata[field] = {**(metadata.get(field) or {}), **added}
