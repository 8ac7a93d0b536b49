"""Which renders a new artifact leaves as they are, asked for many at once and without a build.

A render is named by its Kustomization's spec and the key that `kustomize.render` returned. What is not kept any more,
or was made by another engine, counts as moved: the worst that a wrong no costs is a build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetbeat.render.cache import RenderCache
from fleetbeat.render.engine import Engine
from fleetbeat.render.kustomize import question_of


def unmoved(
    engine: Engine,
    cache: RenderCache,
    artifact_file: Path,
    digest: str,
    renders: Sequence[tuple[Mapping[str, Any], str]],
) -> list[bool]:
    """Of each (spec, key), whether the artifact shows all that the render saw.

    Raises ArtifactFailed and ArchiveInvalid.
    """
    closures = [cache.closure(question_of(engine, spec), key) if key else None for spec, key in renders]
    kept = [closure for closure in closures if closure is not None]
    answers = iter(engine.hold(artifact_file, digest, kept) if kept else ())
    return [closure is not None and next(answers) for closure in closures]
