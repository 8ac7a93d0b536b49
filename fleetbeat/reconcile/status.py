"""How a status moves: progressing, ready, failed, stalled. The rules are Flux's: its command line waits on them.

`Reconciling` and `Stalled` exist only while true. `observedGeneration` moves on success and on a terminal failure,
never while retrying. `lastHandledReconcileAt` is copied at the end of every attempt, and of none at all where a person
stopped them. Works on copies; no I/O.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from fleetbeat.api.conditions import is_ready, remove_condition, set_condition
from fleetbeat.api.meta import REQUESTED_AT
from fleetbeat.errors import FleetbeatError, Terminal
from fleetbeat.reconcile.outcome import Status


def now_text() -> str:
    """The time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decode_status(stored: bytes | None) -> Status:
    """A status as the registry has it; marks for the reporter are none of the resource's."""
    fields: Status = msgspec.json.decode(stored) if stored else {}
    return {key: value for key, value in fields.items() if not key.startswith("$")}


@dataclass(frozen=True)
class Attempt:
    """One try at one generation of one resource: turns its old status into its new one."""

    obj: dict[str, Any]
    old: Status

    @property
    def generation(self) -> int:
        """`metadata.generation` of the resource that this run read."""
        return int(self.obj["metadata"].get("generation", 0))

    def ready(self, reason: str, message: str, **fields: Any) -> Status:
        """Everything done."""
        status = self._start(fields)
        self._set(status, "Ready", "True", reason, message)
        self._drop(status, "Reconciling", "Stalled")
        status["observedGeneration"] = self.generation
        return self._handled(status)

    def progressing(self, message: str, **fields: Any) -> Status:
        """Work goes on in a later run; this one is not over as far as a user is concerned."""
        status = self._start(fields)
        self._set(status, "Reconciling", "True", "Progressing", message)
        self._set(status, "Ready", "Unknown", "Progressing", message)
        self._drop(status, "Stalled")
        return status

    def failed(self, error: FleetbeatError, *, waits: bool = False, **fields: Any) -> Status:
        """This try failed; whether there is another depends on the error's root.

        waits: nothing was tried, because another resource is not there or not ready; no `Reconciling` then.
        """
        status = self._start(fields)
        self._set(status, "Ready", "False", error.reason, error.message)
        if isinstance(error, Terminal):
            self._set(status, "Stalled", "True", error.reason, error.message)
            self._drop(status, "Reconciling")
            status["observedGeneration"] = self.generation
        elif waits:
            self._drop(status, "Reconciling", "Stalled")
        else:
            self._set(status, "Reconciling", "True", "ProgressingWithRetry", error.message)
            self._drop(status, "Stalled")
        return self._handled(status)

    def suspended(self, controller: str) -> Status:
        """No attempt: a person stopped it. Each of Flux's controllers has its own way to tell that this was seen."""
        status = copy.deepcopy(self.old)
        conditions = status.get("conditions") or []
        if controller == "source-controller" and conditions:
            remove_condition(conditions, "Stalled")
            for condition in conditions:
                if condition.get("type") in ("Ready", "Reconciling"):
                    condition["observedGeneration"] = self.generation
            status["observedGeneration"] = self.generation
        elif controller != "source-watcher" and is_ready(status):
            status["observedGeneration"] = self.generation
        return self._handled(status)

    def condition(self, status: Status, kind: str, value: str, reason: str, message: str) -> None:
        """Set one more condition on a status made by this attempt."""
        self._set(status, kind, value, reason, message)

    def _start(self, fields: dict[str, Any]) -> Status:
        status = copy.deepcopy(self.old)
        status.setdefault("conditions", [])
        status.setdefault("observedGeneration", -1)
        for key, value in fields.items():
            if value is None:
                status.pop(key, None)
            else:
                status[key] = value
        return status

    def _set(self, status: Status, kind: str, value: str, reason: str, message: str) -> None:
        set_condition(status["conditions"], kind, value, reason, message[:32768], self.generation, now_text())

    def _drop(self, status: Status, *kinds: str) -> None:
        for kind in kinds:
            remove_condition(status["conditions"], kind)

    def _handled(self, status: Status) -> Status:
        requested = (self.obj["metadata"].get("annotations") or {}).get(REQUESTED_AT)
        if requested:
            status["lastHandledReconcileAt"] = requested
        return status
