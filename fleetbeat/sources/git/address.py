"""Where a Git repository is: the URL as it may be asked for, shown and compared.

Owns the three schemes and the refusal of everything else with the right form. What comes out holds no secret. No I/O.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from fleetbeat.errors import InvalidURL

SSH_USER = "git"
_FORM = "ssh://[user@]host[:port]/path"
_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>[^/:\s]+):(?!//)(?P<path>\S+)")


def checked_url(text: str, field: str = "spec.url") -> str:
    """The URL in its plain form; InvalidURL names `field` and the fix.

    Of an http or https URL the user name goes, which some servers put into it: who logs in stands in the Secret. An ssh
    URL always has one.
    """
    _refuse_scp(text, field)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        hint = f"; write {_FORM}" if text.startswith("ssh://") else ""
        raise InvalidURL(f"{field} cannot be read: {_reason(error)}{hint}") from None
    if parts.scheme not in ("http", "https", "ssh") or not host:
        raise InvalidURL(f"{field} must be http://host/path, https://host/path or {_FORM}")
    if parts.password is not None:
        raise InvalidURL(f"{field} contains a password; move it to the Secret that spec.secretRef names")
    if parts.query or parts.fragment or any(ord(character) <= 32 for character in text):
        raise InvalidURL(f"{field} must have neither a query, a fragment nor blanks")
    return _plain(parts, host, _user(parts, field))


def is_ssh(url: str) -> bool:
    """Whether a checked URL leads through SSH."""
    return url.startswith("ssh://")


def _refuse_scp(text: str, field: str) -> None:
    """`git@host:path` looks like a URL to people only."""
    found = None if "://" in text else _SCP.fullmatch(text)
    if found:
        right = f"ssh://{found['user'] or SSH_USER}@{found['host']}/{found['path'].lstrip('/')}"
        raise InvalidURL(f"{field}: the form host:path is not supported; write {right}")


def _reason(error: ValueError) -> str:
    return "after the host's colon stands no port number" if "ort" in str(error) else str(error)


def _user(parts: SplitResult, field: str) -> str:
    """`user@` of an ssh URL."""
    if parts.scheme != "ssh":
        return ""
    user, path = unquote(parts.username or SSH_USER), unquote(parts.path)
    if not re.fullmatch(r"[\w.+@-]{1,128}", user):
        raise InvalidURL(f"{field}: the user name may have letters, digits and . _ + @ - only")
    if not path.strip("/") or any(ord(character) < 32 for character in path):
        raise InvalidURL(f"{field} names no repository; write {_FORM}")
    return f"{quote(user)}@"


def _plain(parts: SplitResult, host: str, user: str) -> str:
    netloc = user + (f"[{host}]" if ":" in host else host)
    if parts.port is not None:
        netloc += f":{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
