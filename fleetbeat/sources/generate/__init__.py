"""ArtifactGenerator: from the archives of several sources to the archives of several artifacts.

Owns what is copied, merged and extracted, and nothing of where archives come from or go to. `opened` gives the sources,
`outputs` says what is to be made of them, `make` makes one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fleetbeat.artifacts.archive import Archive, Limits, write_archive
from fleetbeat.artifacts.unpack import unpacked
from fleetbeat.errors import BuildFailed
from fleetbeat.sources.generate.copying import Copying
from fleetbeat.sources.generate.outputs import Output, check, outputs
from fleetbeat.sources.generate.tree import Tree

__all__ = ["Output", "Tree", "check", "make", "opened", "outputs"]


@contextmanager
def opened(files: Mapping[str, Path], scratch: Path, limits: Limits | None = None) -> Iterator[dict[str, Tree]]:
    """alias → archive as alias → content, readable until the block ends; raises ArchiveInvalid."""
    with ExitStack() as stack:
        yield {alias: Tree.of(stack.enter_context(unpacked(file, scratch, limits))) for alias, file in files.items()}


def make(output: Output, sources: Mapping[str, Tree], scratch: Path, limits: Limits | None = None) -> Archive:
    """The archive of one artifact, to be closed by the caller; raises BuildFailed, InvalidSpec or ArchiveInvalid."""
    limits = limits or Limits()
    with ExitStack() as stack:
        copying = Copying(sources, scratch, stack, limits)
        for operation in output.copy:
            copying.apply(operation)
        if not copying.tree.files:
            raise BuildFailed(f"the artifact {output.name!r} would be empty")
        out = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - belongs to the archive
        try:
            return write_archive(copying.tree.entries(), out, limits)
        except BaseException:
            out.close()
            raise
