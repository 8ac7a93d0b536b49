"""Substitution over the objects of a build, each by itself, and the one message that tells all that is wrong.

Owns which objects take part and how what is wrong with them is told: file, object, variable; never a value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbeat.errors import BuildFailed, FleetbeatError
from fleetbeat.render import objects as checks
from fleetbeat.render.engine import UnparsableText
from fleetbeat.render.substitute import Undefined, substitute

log = logging.getLogger(__name__)

Object = dict[str, Any]

MOST_TOLD = 20
"""Objects named in one message; the rest is counted."""
WAYS_OUT = (
    "define it, give a default as in ${name:-value}, write $${name} where the text itself is meant, or keep the object "
    f"out of it by the label {checks.SUBSTITUTE}: disabled"
)

UNQUOTED = (
    "an expression in it cannot be substituted, and is not shown because the object was encrypted; write $${…} where "
    f"the text itself is meant, or annotate the object with {checks.SUBSTITUTE}: disabled"
)


@dataclass(frozen=True)
class Scope:
    """What substitution works with."""

    variables: Mapping[str, str]
    strict: bool
    """An undefined variable without a default is an error."""
    parse: Callable[[Sequence[str]], list[list[Object]]]
    """Reads YAML texts; raises UnparsableText."""
    files: Callable[[], Sequence[str]]
    """The file of each object; asked only to tell a failure."""
    opened: Collection[int] = ()
    """Positions of objects that were decrypted: no message may quote from them."""


def substitute_all(objects: Sequence[Object], texts: Mapping[int, str], scope: Scope) -> list[Object]:
    """The objects, of which those with an expression (`texts`: by position, their YAML) are substituted and read again.

    Raises BuildFailed naming every object that cannot be.
    """
    changed: dict[int, str] = {}
    failures: dict[int, BuildFailed] = {}
    for at in sorted(texts):
        if not checks.wants_substitution(objects[at]):
            continue
        try:
            changed[at] = substitute(texts[at], scope.variables, scope.strict)
        except BuildFailed as failure:
            failures[at] = failure
    if failures:
        raise BuildFailed(_told(failures, objects, scope))
    if not changed:
        return list(objects)
    replaced = dict(zip(changed, _parsed(changed, objects, scope), strict=True))
    return [one for at, obj in enumerate(objects) for one in replaced.get(at, [obj])]


def _parsed(changed: Mapping[int, str], objects: Sequence[Object], scope: Scope) -> list[list[Object]]:
    try:
        return scope.parse(list(changed.values()))
    except UnparsableText as broken:
        at = list(changed)[broken.index]
        reason = checks.without_values(broken.message)
        wrong = f"after substitution it is no valid YAML ({reason}); quote the expression, or the values it stands for"
        raise BuildFailed(_told({at: BuildFailed(wrong)}, objects, scope)) from None


def _told(failures: Mapping[int, BuildFailed], objects: Sequence[Object], scope: Scope) -> str:
    """A line for each object, and one with what to do about undefined variables."""
    files = _files(scope)
    lines = []
    for at in list(failures)[:MOST_TOLD]:
        file = f" ({files[at]})" if at < len(files) and files[at] else ""
        lines.append(
            f"{checks.describe(objects[at])}{file}: {UNQUOTED if at in scope.opened else failures[at].message}"
        )
    if len(failures) > MOST_TOLD:
        lines.append(f"and {len(failures) - MOST_TOLD} more objects")
    if any(isinstance(failure, Undefined) for at, failure in failures.items() if at not in scope.opened):
        lines[-1] += f"; {WAYS_OUT}"
    return "\n".join(lines)


def _files(scope: Scope) -> Sequence[str]:
    try:
        return scope.files()
    except FleetbeatError as error:
        log.debug("the files of a failed build are not known: %s", error)
        return ()
