"""The Redis Function library `fleetbeat`, assembled from one Lua file per verb.

Owns the library's text and version, and loading it. A library survives restarts only where Redis persists, so a caller
that hears `Function not found` loads it again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

import redis

NAME = "fleetbeat"
_HELPERS = ("common.lua", "schedule.lua", "result.lua")


@cache
def source() -> tuple[str, str]:
    """The library's text and its version, a digest of the text."""
    folder = resources.files(__package__).joinpath("functions")
    files = {entry.name: entry.read_text() for entry in folder.iterdir() if entry.name.endswith(".lua")}
    helpers = "\n".join(files.pop(name) for name in _HELPERS)
    verbs = "\n".join(f"do\n{files[name]}\nend" for name in sorted(files))
    version = hashlib.sha256(f"{helpers}{verbs}".encode()).hexdigest()[:16]
    return f"#!lua name={NAME}\nlocal VERSION = '{version}'\n{helpers}\n{verbs}\n", version


def ensure_loaded(client: redis.Redis) -> None:
    """Load the library unless exactly this version of it is there."""
    text, version = source()
    if _loaded(client) != version:
        client.function_load(text, replace=True)


def _loaded(client: redis.Redis) -> str | None:
    try:
        found = client.fcall("fb_version", 0)
    except redis.ResponseError as error:
        if is_missing(error):
            return None
        raise
    return found.decode() if isinstance(found, bytes) else None


def is_missing(error: redis.ResponseError) -> bool:
    """True when Redis does not know the function that was called."""
    return "Function not found" in str(error)
