"""The child process that runs the official kustomize libraries, which exist only in Go (see `engine/`).

Owns the child's life: started at the first request, shared by all threads of the process, started again after a death,
killed when it does not answer. What crosses the pipes are JSON lines; nothing of the environment is passed on. Must not
be used before a fork by the forked process: a child belongs to the process that started it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import msgspec

from fleetbeat.errors import ArchiveInvalid, ArtifactFailed, BuildFailed, FleetbeatError
from fleetbeat.render.child import Child, ChildDied, ChildSilent

ANSWER_GRACE = 5.0
"""Seconds beyond the timeout after which a silent child is killed; it answers at the timeout by itself."""

_ERRORS: dict[str, type[FleetbeatError]] = {"ArtifactFailed": ArtifactFailed, "ArchiveInvalid": ArchiveInvalid}


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A text encrypted with SOPS; bytes cross the pipe as base64."""

    path: str = ""
    format: str
    """yaml, json, dotenv, ini or binary; "" is to be found out."""
    text: bytes
    patch: bool = False
    """Its content may end up in any object, not only in generated Secrets."""


class UnsealTask(msgspec.Struct, frozen=True):
    """A text to decrypt with its data key."""

    format: str
    text: bytes
    key: bytes
    into: str
    """Format of the plain text; "" only checks the MAC."""
    check: bool
    """The MAC must hold."""

    def __repr__(self) -> str:
        return f"UnsealTask({self.format} to {self.into})"


class Described(msgspec.Struct, frozen=True):
    """What an encrypted text says of itself; a plain one has no format."""

    format: str
    metadata: dict[str, Any] | None = None


class Built(msgspec.Struct, frozen=True):
    """What a build made, as the engine sent it."""

    objects: msgspec.Raw = msgspec.Raw(b"[]")
    """JSON list of objects."""
    texts: dict[int, str] = {}
    """By position, the YAML of the objects that substitution can change."""
    closure: dict[str, str] = {}
    """All that the build saw of the artifact (see `engine/closure.go`)."""
    where: list[str] = []
    """The file of each object, when only that was asked for."""
    known: int | None = None
    """The position of the known closure that still holds; then there is nothing else."""
    sealed: list[Sealed] = []
    """Encrypted files that must be given in plain form first; then there are no objects."""
    origins: list[Sealed] = []
    """Encrypted files that objects are made of."""
    notes: list[str] = []
    """What the author of the files should know although the build succeeded."""


class _Held(msgspec.Struct, frozen=True):
    holds: list[bool]


class _Parsed(msgspec.Struct, frozen=True):
    objects: list[list[dict[str, Any]]]


class _Texts(msgspec.Struct, frozen=True):
    texts: list[str]


class _Descriptions(msgspec.Struct, frozen=True):
    described: list[Described]


class _Plain(msgspec.Struct, frozen=True):
    plain: list[bytes | None]


class _Fault(msgspec.Struct, frozen=True):
    code: str
    message: str
    index: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Fault | None = None


_built = msgspec.json.Decoder(Built)
_held = msgspec.json.Decoder(_Held)
_parsed = msgspec.json.Decoder(_Parsed)
_texts = msgspec.json.Decoder(_Texts)
_descriptions = msgspec.json.Decoder(_Descriptions)
_plain = msgspec.json.Decoder(_Plain)
_answer = msgspec.json.Decoder(_Answer)


class UnparsableText(BuildFailed):
    """One of several texts is at fault: no valid YAML, or not to be decrypted."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def find_binary() -> Path:
    """The engine's program: $FLEETBEAT_ENGINE, else the one in the wheel, else the one in the user's cache."""
    named = os.environ.get("FLEETBEAT_ENGINE")
    cache = os.environ.get("FLEETBEAT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "fleetbeat")
    places = [Path(named)] if named else [Path(__file__).with_name("bin"), Path(cache).expanduser() / "bin"]
    for place in places:
        program = place if named else place / "fleetbeat-engine"
        if program.is_file():
            return program
    raise BuildFailed(
        f"the render engine is not at {' or '.join(map(str, places))}; run `make engine` or set FLEETBEAT_ENGINE"
    )


class Engine:
    """A client of one engine child; safe to use from many threads."""

    def __init__(self, binary: Path | None = None, *, memory_mib: int = 1024, artifact_mib: int = 256) -> None:
        """`memory_mib` bounds the child's memory, `artifact_mib` the unpacked size of an artifact; both in MiB."""
        self._binary = binary
        self._arguments = ("-memory-mib", str(memory_mib), "-artifact-mib", str(artifact_mib))
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        self._child: Child | None = None
        self._owner = 0

    def build(
        self,
        artifact_file: Path,
        digest: str,
        path: str,
        parts: Mapping[str, Any],
        *,
        known: Sequence[Mapping[str, str]] = (),
        decrypt: bool = False,
        plain: Mapping[str, bytes] | None = None,
        timeout: float = 60.0,
    ) -> Built:
        """Run kustomize in directory `path` of the artifact, or say which of the `known` closures holds for it.

        `parts` are the fields of the Kustomization's spec that take part (see `engine/protocol.go`); `timeout` is in
        seconds. With `decrypt`, encrypted files are reported; `plain`, by path, takes the place of what is in the
        artifact. Raises ArtifactFailed (not readable, another digest, no such path), ArchiveInvalid and BuildFailed.
        """
        request = {"op": "build", "artifact": str(artifact_file), "digest": digest, "path": path, "decrypt": decrypt}
        return _built.decode(self._call(request | {"spec": parts, "known": known, "plain": plain or {}}, timeout))

    def files(
        self, artifact_file: Path, digest: str, path: str, parts: Mapping[str, Any], *, timeout: float = 60.0
    ) -> list[str]:
        """The file of each object that `build` would make, in that order; "" where it is not known."""
        return self.build(artifact_file, digest, path, {**parts, "where": True}, timeout=timeout).where

    def hold(
        self, artifact_file: Path, digest: str, closures: Sequence[Mapping[str, str]], *, timeout: float = 60.0
    ) -> list[bool]:
        """Of each closure, whether the artifact shows all that it saw. Raises ArtifactFailed and ArchiveInvalid."""
        request = {"op": "hold", "artifact": str(artifact_file), "digest": digest, "known": closures}
        return _held.decode(self._call(request, timeout)).holds

    def parse(self, texts: Sequence[str], *, timeout: float = 60.0) -> list[list[dict[str, Any]]]:
        """The objects of each YAML text, as Kubernetes' own tools read it; lists are flattened.

        Raises UnparsableText with the position of the text that is no YAML.
        """
        return _parsed.decode(self._call({"op": "parse", "texts": texts}, timeout)).objects

    def texts(self, objects: Sequence[Mapping[str, Any]], *, timeout: float = 60.0) -> list[str]:
        """The YAML of each object as a build gives it; "" of those that substitution cannot change."""
        return _texts.decode(self._call({"op": "texts", "objects": objects}, timeout)).texts

    def describe(self, sealed: Sequence[Sealed], *, timeout: float = 60.0) -> list[Described]:
        """Format and sops block of each text. Raises UnparsableText with the position of the one that is malformed."""
        return _descriptions.decode(self._call({"op": "describe", "sealed": sealed}, timeout)).described

    def unseal(self, tasks: Sequence[UnsealTask], *, timeout: float = 60.0) -> list[bytes]:
        """The plain texts. Raises UnparsableText with the position of the one that cannot be decrypted."""
        answer = _plain.decode(self._call({"op": "unseal", "unseal": tasks}, timeout))
        return [text or b"" for text in answer.plain]

    @cached_property
    def version(self) -> str:
        """Changes whenever the engine may render otherwise: a hash of the program."""
        return hashlib.sha256(self.binary.read_bytes()).hexdigest()[:16]

    @cached_property
    def binary(self) -> Path:
        """The program that is run."""
        return self._binary or find_binary()

    def close(self) -> None:
        """End the child; the next request would start another."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, request: dict[str, Any], timeout: float) -> msgspec.Raw:
        """Send a request; when the child dies of it, or of another's request, try again once in a child of its own."""
        request["timeout_ms"] = max(1, int(timeout * 1000))
        try:
            answer = self._shared_child().ask(request, timeout + ANSWER_GRACE)
        except ChildSilent as silent:
            raise BuildFailed(f"the render engine was killed: {silent}") from None
        except ChildDied:
            answer = self._ask_alone(request, timeout + ANSWER_GRACE)
        decoded = _answer.decode(answer)
        if decoded.error is not None:
            _raise(decoded.error, timeout)
        return decoded.result

    def _ask_alone(self, request: dict[str, Any], patience: float) -> bytes:
        with self._alone:
            child = self._start()
            try:
                return child.ask(request, patience)
            except ChildDied as died:
                raise BuildFailed(
                    f"the render engine died of it, most likely for lack of memory ({died}); "
                    "make the manifests or the artifact smaller"
                ) from None
            finally:
                child.close()

    def _shared_child(self) -> Child:
        with self._lock:
            if self._child is not None and self._owner == os.getpid():
                if self._child.alive:
                    return self._child
                self._child.close()
            self._child, self._owner = self._start(), os.getpid()
            return self._child

    def _start(self) -> Child:
        try:
            return Child((str(self.binary), *self._arguments))
        except OSError as failure:
            raise BuildFailed(f"the render engine at {self.binary} cannot be started: {failure.strerror}") from None


def _raise(fault: _Fault, timeout: float) -> NoReturn:
    if fault.code == "DeadlineExceeded":
        raise BuildFailed(f"the build did not end within {timeout:g} s; raise spec.timeout or build less at once")
    if fault.index is not None:
        raise UnparsableText(fault.message, fault.index)
    raise _ERRORS.get(fault.code, BuildFailed)(fault.message)
