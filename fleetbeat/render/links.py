"""Why a file that a build misses is not there: artifacts carry no symbolic links.

Owns the sentence. Which paths are links, its callers know: from the run of the source, or from the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from fleetbeat.errors import ArtifactFailed, BuildFailed

_MISSING = re.compile(r"""'([^']+)' is not in the source|the source has no directory "([^"]+)\"""")


@contextmanager
def told(is_link: Callable[[str], bool]) -> Iterator[None]:
    """A block whose failures for want of a file name the link; `is_link` knows paths relative to the source's root."""
    try:
        yield
    except (ArtifactFailed, BuildFailed) as error:
        message = explained(error.message, is_link)
        if message == error.message:
            raise
        raise type(error)(message) from error


def explained(message: str, is_link: Callable[[str], bool]) -> str:
    """`message` of a failed build, with a sentence for each missing path that is, or lies below, a link."""
    missing = (PurePosixPath("/", one or other) for one, other in _MISSING.findall(message))
    paths = (path for found in missing for path in (found, *found.parents))
    links = dict.fromkeys(name for path in paths if (name := str(path).strip("/")) and is_link(name))
    told = (f"{name} is a symbolic link, which artifacts do not carry: commit the file itself" for name in links)
    return "; ".join((message, *told))
