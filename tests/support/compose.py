"""compose.yaml as Compose would see it, with variables filled in. Compose itself is not needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tools.binaries import ROOT

FILE = ROOT / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::\?([^}]*))?\}")


class Unset(Exception):
    """A variable without a value; the message is the file's own."""


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with merges resolved and `variables` filled in; raises Unset."""

    def fill(match: re.Match[str]) -> str:
        name, complaint = match.groups()
        if not variables.get(name):
            raise Unset(f"{name}: {complaint or 'no value'}")
        return variables[name]

    document: dict[str, Any] = _walk(raw(), lambda text: _VARIABLE.sub(fill, text))
    return document


def raw() -> dict[str, Any]:
    """The file with merges resolved alone."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def required() -> dict[str, str]:
    """Variables that must be set → what the file says of them."""
    return {name: complaint for name, complaint in _VARIABLE.findall(FILE.read_text()) if complaint}


def _walk(node: Any, change: Any) -> Any:
    match node:
        case dict():
            return {key: _walk(value, change) for key, value in node.items()}
        case list():
            return [_walk(value, change) for value in node]
        case str():
            return change(node)
        case _:
            return node
