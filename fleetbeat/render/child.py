"""One engine process and the pipes to it: many requests under way, answers in any order.

Owns the process: whoever holds a `Child` must close it. Knows JSON lines and request ids, not what is in them.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import IO, Any

import msgspec

CLOSE_GRACE = 2.0
"""Seconds between closing the child's input and killing it."""


_DYING = (b"fleetbeat-engine:", b"fatal error:", b"panic:", b"SIG")


class ChildDied(Exception):
    """The engine ended before it answered; the text says what it said last."""


class ChildSilent(ChildDied):
    """The engine did not answer at all and was killed."""


class _Id(msgspec.Struct):
    id: int


_id_decoder = msgspec.json.Decoder(_Id)


class Child:
    """A running engine."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr  # noqa: S101
        self._input: IO[bytes] = self._process.stdin
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, Future[bytes]] = {}
        self._alive = True
        self._last_words: str | None = None
        self._listeners = (
            threading.Thread(target=self._listen, args=(self._process.stdout,), name="engine-answers", daemon=True),
            threading.Thread(target=self._hear, args=(self._process.stderr,), name="engine-errors", daemon=True),
        )
        for listener in self._listeners:
            listener.start()

    @property
    def alive(self) -> bool:
        """False once the process has ended or was killed."""
        return self._alive

    def ask(self, request: dict[str, Any], patience: float) -> bytes:
        """The answer's line; raises ChildDied when the process ends first, ChildSilent after `patience` seconds."""
        number = next(self._ids)
        answer: Future[bytes] = Future()
        with self._lock:
            if not self._alive:
                raise ChildDied("it had ended")
            self._waiting[number] = answer
        self._send(msgspec.json.encode(request | {"id": number}))
        try:
            return answer.result(patience)
        except TimeoutError:
            self._process.kill()
            raise ChildSilent("it did not answer in time") from None
        finally:
            self._waiting.pop(number, None)

    def _send(self, line: bytes) -> None:
        try:
            with self._writing:
                self._input.write(line + b"\n")
                self._input.flush()
        except (OSError, ValueError):
            pass  # the process has ended, and the listener tells everybody who waits

    def _listen(self, answers: IO[bytes]) -> None:
        try:
            for line in answers:
                waiting = self._waiting.pop(_id_decoder.decode(line).id, None)
                if waiting is not None:
                    waiting.set_result(line)
        except msgspec.DecodeError:
            self._process.kill()
        self._bury()

    def _bury(self) -> None:
        """The pipe ended: reap the process and tell all who wait."""
        self._listeners[1].join()
        code = self._process.wait()
        with self._lock:
            self._alive = False
            orphans, self._waiting = self._waiting, {}
        for waiting in orphans.values():
            waiting.set_exception(ChildDied(self._last_words or f"exit code {code}"))

    def _hear(self, errors: IO[bytes]) -> None:
        """Keep the line that tells why it dies; kustomize's warnings and the stacks of a crash are passed over."""
        for line in errors:
            if self._last_words is None and line.startswith(_DYING):
                self._last_words = line.decode(errors="replace").strip()

    def close(self) -> None:
        """End the process and wait for it."""
        try:
            with self._writing:
                self._input.close()
        except OSError:
            pass  # it ended with a request half read
        try:
            self._process.wait(CLOSE_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for listener in self._listeners:
            listener.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
