"""CEL filters of Receivers: compiled once, true or false about one resource and one request.

Owns the variables (`res`, `req`) and the helper functions that Flux adds to CEL (`split`, `first`, `last`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fleetbeat.errors import InvalidExpression

if TYPE_CHECKING:
    import cel

_FUNCTIONS: Mapping[str, Any] = {
    "split": lambda text, separator: text.split(separator),
    "first": lambda items: items[0],
    "last": lambda items: items[-1],
}


@lru_cache(maxsize=1024)
def compile_filter(expression: str, field: str) -> cel.Program:
    """The compiled expression; raises InvalidExpression naming `field`. Cached."""
    import cel  # with the terminal interface that it brings 7 MB, and few Receivers have filters

    try:
        return cel.compile(expression)
    except ValueError as error:
        raise InvalidExpression(f"{field}: {str(error).splitlines()[0]}") from error


def passes(expression: str, field: str, res: Mapping[str, Any], req: Any) -> bool:
    """Whether the filter is true; raises InvalidExpression when it fails or is no bool."""
    import cel

    program = compile_filter(expression, field)
    context = cel.Context({"res": dict(res), "req": req}, dict(_FUNCTIONS))
    try:
        answer = program.execute(context)
    except Exception as error:  # a helper called on the wrong type raises whatever Python raises
        raise InvalidExpression(f"{field}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    if not isinstance(answer, bool):
        raise InvalidExpression(f"{field}: the expression must give true or false, not {type(answer).__name__}")
    return answer
