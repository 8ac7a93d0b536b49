"""CEL expressions of specs: what they are true about, and what is said of those that fail."""

from __future__ import annotations

import pytest

from fleetbeat.api.cel import holds
from fleetbeat.errors import InvalidExpression

pytestmark = pytest.mark.unit

VALUES = {"self": {"status": {"phase": "Bound"}, "count": 1}}


@pytest.mark.parametrize(
    ("expression", "answer"),
    [("self.status.phase == 'Bound'", True), ("self.count > 1", False), ("has(self.status.other)", False)],
)
def test_expressions(expression: str, answer: bool) -> None:
    """True or false."""
    assert holds(expression, "spec.readyExpr", VALUES) is answer


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("self.status.state == 'a'", "no such key: 'state'"),
        ("status.phase == 'a'", "Undefined variable or function: 'status'"),
        ("self.count + 'x' == 2", "No such overload: the operation is not defined for the given operand types"),
        ("1 / 0 == 1", "division by zero in CEL expression"),
        ("self.count", "the expression must give true or false, not int"),
    ],
)
def test_what_is_said_of_those_that_fail(expression: str, said: str) -> None:
    """The field and one sentence, without names of Python's."""
    with pytest.raises(InvalidExpression) as caught:
        holds(expression, "spec.readyExpr", VALUES)
    assert caught.value.message == f"spec.readyExpr: {said}"
