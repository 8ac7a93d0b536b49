"""What may go into a URL or a header; on the rest libraries raise errors that name neither file nor field."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER = re.compile(r"[\x20-\x7e]+")
_BLANK = re.compile(r"[\x00-\x20\x7f]")


def is_url(text: str) -> bool:
    """Whether it is `http(s)://host[:port][/path]` with nothing that a URL cannot have."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not (_BLANK.search(text) or parts.username is not None or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and plain and port != 0 and is_host(parts.hostname or "")


def is_host(text: str) -> bool:
    """Whether it is a name or an address, without port and brackets."""
    if ":" not in text:
        return _HOST.fullmatch(text) is not None
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def is_token(text: str) -> bool:
    """Whether it can be a bearer token."""
    return _TOKEN.fullmatch(text) is not None


def is_header(text: str) -> bool:
    """Whether it can be the value of a header."""
    return _HEADER.fullmatch(text) is not None
