"""Log lines of the roles: readable on a terminal, elsewhere JSON with the fields by which `flux logs` selects.

A line is about the resource whose Ref is among its arguments.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

import orjson

from fleetbeat.api.refs import Ref


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, msg, error, and of a resource controllerKind, name, namespace."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if (ref := _about(record)) is not None:
            line |= {"controllerKind": ref.kind, "name": ref.name, "namespace": ref.namespace}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def _about(record: logging.LogRecord) -> Ref | None:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((argument for argument in arguments if isinstance(argument, Ref)), None)


def formatter() -> logging.Formatter:
    """By `FLEETBEAT_LOG_FORMAT` (`json` or `text`), else by whether standard error is a terminal."""
    wanted = os.environ.get("FLEETBEAT_LOG_FORMAT") or ("text" if sys.stderr.isatty() else "json")
    if wanted == "text":
        return logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    return JsonFormatter()


def configure(level: str) -> None:
    """Send the root logger to standard error at `level`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
