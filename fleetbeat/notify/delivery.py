"""One webhook as it arrived, and the refusals that its sender reads.

Owns the size limit and the decoding of the body. No network: the web server hands the bytes over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from fleetbeat.errors import FleetbeatError

MAX_BODY = 3 << 20
"""Bytes of body that are read; more is answered with 413."""


class WebhookRefused(FleetbeatError):
    """The webhook is malformed, or its signature does not fit the Receiver's token."""

    reason = "WebhookRefused"


@dataclass(frozen=True)
class Delivery:
    """A webhook: its headers by lower-case name, and its body, byte for byte."""

    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """The header's value, "" when it was not sent."""
        return self.headers.get(name.lower(), "")

    def json(self) -> Any:
        """The body as JSON, also out of GitHub's form encoding (`payload=…`); raises WebhookRefused."""
        body = self.body
        if self.header("Content-Type").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            body = (parse_qs(body.decode("utf-8", "replace")).get("payload") or [""])[0].encode()
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise WebhookRefused("the body is not JSON, which the Receiver's filter needs") from error
