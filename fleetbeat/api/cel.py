"""CEL, the expressions that users write into specs: compiled once, true or false about the values that they are given.

Owns the errors, which name the field and say what is wrong with the expression. Which variables there are is the
caller's to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fleetbeat.errors import InvalidExpression

if TYPE_CHECKING:
    import cel

Functions = Mapping[str, Callable[..., Any]]


@lru_cache(maxsize=1024)
def compiled(expression: str, field: str) -> cel.Program:
    """The compiled expression; raises InvalidExpression naming `field`. Cached."""
    import cel  # with the terminal interface that it brings 7 MB, and few specs have expressions

    try:
        return cel.compile(expression)
    except ValueError as error:
        raise InvalidExpression(f"{field}: {str(error).splitlines()[0]}") from error


def holds(expression: str, field: str, values: Mapping[str, Any], functions: Functions | None = None) -> bool:
    """Whether the expression is true; raises InvalidExpression when it fails or is no bool."""
    import cel

    program = compiled(expression, field)
    context = cel.Context(dict(values), dict(functions or {}))
    try:
        answer = program.execute(context)
    except Exception as error:  # a helper called on the wrong type raises whatever Python raises
        raise InvalidExpression(f"{field}: {_said(error)}") from error
    if not isinstance(answer, bool):
        raise InvalidExpression(f"{field}: the expression must give true or false, not {type(answer).__name__}")
    return answer


def _said(error: Exception) -> str:
    """The first sentence; the others advise whoever embeds CEL."""
    said = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
    return f"no such key: {said}" if isinstance(error, KeyError) else said
