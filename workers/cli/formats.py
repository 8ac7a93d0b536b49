"""`-o json` and `-o yaml`: objects as data for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson

from fleetbeat.errors import CommandFailed


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"

    @property
    def is_data(self) -> bool:
        """Whether a program reads it, so nothing else may be printed."""
        return self in (Format.JSON, Format.YAML)


def asked(text: str, *allowed: str) -> Format:
    """The value of -o, a table by default; CommandFailed when it is none of `allowed`."""
    if text and text not in allowed:
        raise CommandFailed(f"-o {text} is not one of {', '.join(allowed)}")
    return Format(text or "table")


def dump(value: Any, output: Format) -> str:
    """Any JSON-like value as text without a final line break."""
    if output is Format.JSON:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def as_list(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A `v1/List`, as kubectl prints several objects."""
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}
