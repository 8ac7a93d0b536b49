"""What is known of one object, and the answer that reasons.py makes of it. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from fleetbeat.api.refs import Ref
from workers.cli.rows import Obj


class Trouble(Enum):
    """Why nothing is known from Redis."""

    NONE = "none"
    NOT_ASKED = "not asked"
    REBUILDING = "rebuilding"


@dataclass(frozen=True)
class Queue:
    """What Redis knows of one ref; times in seconds from now, negative when past."""

    phase: str = "idle"
    """`queued`, `running` or `sweep` of the live run; `idle` when there is none."""
    why: str = ""
    """What asked for the run; "" when only the interval did."""
    due: float | None = None
    """When the next run is due."""
    dirty: bool = False
    """It was asked again while running and runs again at once."""
    held: bool = False
    """Its lane or cluster has as many runs as it may have."""
    awaits: tuple[str, ...] = ()
    """Objects whose health is waited for."""


@dataclass(frozen=True)
class Facts:
    """All that is known of one object."""

    ref: Ref
    obj: Obj
    owned: bool
    """Whether Fleetbeat reconciles the kind."""
    queue: Queue | None = None
    """None when Redis was not asked, does not answer or does not know the object."""
    trouble: Trouble = Trouble.NONE
    blocker: Reason | None = None
    """Why the dependency or source that this object waits for is not ready."""

    def answer(self, code: str, state: str, then: str) -> Reason:
        """A reason of this object."""
        return Reason(self.ref, code, state, then)


@dataclass(frozen=True)
class Reason:
    """The answer."""

    ref: Ref
    code: str
    """One word for programs, such as `DependencyNotReady`."""
    state: str
    """What holds now, as the end of a sentence that begins with the ref."""
    then: str
    """What happens next."""

    @property
    def sentence(self) -> str:
        """The one sentence that a person reads."""
        return f"{self.ref} {self.state}; {self.then}."

    def data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {"ref": str(self.ref), "reason": self.code, "sentence": self.sentence}
