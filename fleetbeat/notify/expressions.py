"""CEL filters of Receivers: true or false about one resource and one request.

Owns the variables (`res`, `req`) and the helper functions that Flux adds to CEL (`split`, `first`, `last`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbeat.api import cel

_FUNCTIONS: cel.Functions = {
    "split": lambda text, separator: text.split(separator),
    "first": lambda items: items[0],
    "last": lambda items: items[-1],
}


def compile_filter(expression: str, field: str) -> None:
    """Raises InvalidExpression naming `field` when the expression is none."""
    cel.compiled(expression, field)


def passes(expression: str, field: str, res: Mapping[str, Any], req: Any) -> bool:
    """Whether the filter is true; raises InvalidExpression when it fails or is no bool."""
    return cel.holds(expression, field, {"res": dict(res), "req": req}, _FUNCTIONS)
