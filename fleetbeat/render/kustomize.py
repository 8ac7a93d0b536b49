"""From an artifact to the objects that one Kustomization wants: build, substitute, common metadata.

Owns the order of these steps and the checks between them. Must not talk to a cluster, to Redis or to S3, and must not
wait: the artifact is a local file, the variables have been read by the caller. What leaves here is held in memory only;
the cache keeps the form before substitution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from fleetbeat.render import objects as checks
from fleetbeat.render.cache import RenderCache, question
from fleetbeat.render.engine import Engine
from fleetbeat.render.postbuild import Scope, substitute_all

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
    key: str = ""
    """Names the build among those of its question, for `unmoved`; "" without a cache."""


class _Build(msgspec.Struct, frozen=True):
    """A build before substitution, as the cache keeps it."""

    objects: list[dict[str, Any]]
    texts: dict[int, str]


_build_decoder = msgspec.json.Decoder(_Build)


class _RawBuild(msgspec.Struct, frozen=True):
    objects: msgspec.Raw
    texts: dict[int, str]


def render(
    engine: Engine,
    artifact_file: Path,
    digest: str,
    spec: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    *,
    cache: RenderCache | None = None,
    strict: bool = True,
    sealed: bool = False,
    timeout: float = 60.0,
) -> Rendered:
    """The objects of a Kustomization `spec` (JSON form, camelCase) from the artifact with this digest.

    `variables` are those of postBuild, merged (see `substitute.merge`); with none, nothing is substituted unless
    `spec.postBuild.substituteStrategy` is Always. `strict` makes an undefined variable an error, `sealed` lets
    encrypted objects pass, for whoever only shows them. `timeout` is in seconds. Raises ArtifactFailed, ArchiveInvalid
    and BuildFailed.
    """

    def files() -> list[str]:
        return engine.files(artifact_file, digest, _path(spec), _parts(spec), timeout=timeout)

    body, cached, key = _build(engine, artifact_file, digest, spec, cache, timeout)
    build = _build_decoder.decode(body)
    objects = build.objects
    if variables or (spec.get("postBuild") or {}).get("substituteStrategy") == "Always":
        scope = Scope(variables or {}, strict, lambda texts: engine.parse(texts, timeout=timeout), files)
        objects = substitute_all(objects, build.texts, scope)
    for obj in objects:
        checks.check(obj, sealed=sealed)
    _add_common_metadata(objects, spec.get("commonMetadata") or {})
    content = orjson.dumps(objects, option=orjson.OPT_SORT_KEYS)
    return Rendered(objects, "sha256:" + hashlib.sha256(content).hexdigest(), cached, key)


def question_of(engine: Engine, spec: Mapping[str, Any]) -> str:
    """The name under which the cache keeps the builds of a spec."""
    return question(engine=engine.version, path=_path(spec), parts=_parts(spec))


def _path(spec: Mapping[str, Any]) -> str:
    return spec.get("path") or "./"


def _parts(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: spec[name] for name in PARTS if spec.get(name)}


def _build(
    engine: Engine, artifact_file: Path, digest: str, spec: Mapping[str, Any], cache: RenderCache | None, timeout: float
) -> tuple[bytes, bool, str]:
    """The JSON of a `_Build`, whether it came from the cache, and its key there."""
    path, parts = _path(spec), _parts(spec)
    if cache is None:
        built = engine.build(artifact_file, digest, path, parts, timeout=timeout)
        return msgspec.json.encode(_RawBuild(built.objects, built.texts)), False, ""
    name = question_of(engine, spec)
    entries = cache.entries(name)
    hit = next((entry for entry in entries if entry.artifact == digest), None)
    if hit is None:
        known = [entry.closure for entry in entries]
        built = engine.build(artifact_file, digest, path, parts, known=known, timeout=timeout)
        if built.known is None:
            body = msgspec.json.encode(_RawBuild(built.objects, built.texts))
            return body, False, cache.put(name, built.closure, digest, body)
        hit = entries[built.known]
    cache.touch(hit, digest)
    return hit.body, True, hit.key


def _add_common_metadata(objects: list[dict[str, Any]], common: Mapping[str, Any]) -> None:
    """Labels and annotations of spec.commonMetadata win over the object's own."""
    for field in ("labels", "annotations"):
        if added := common.get(field):
            for obj in objects:
                metadata = obj["metadata"]
                metadata[field] = {**(metadata.get(field) or {}), **added}
