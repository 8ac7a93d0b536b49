"""Submodules: from a gitlink in a tree to the tree of exactly that commit, wherever its repository is.

Owns what `.gitmodules` may say, how a relative URL is resolved, how deep and how many submodules there may be, and who
is told the credentials: only servers of the same origin (scheme, host and port) as the repository of the spec. Every
other one is asked anonymously, because whoever may write to the repository could name a server of his own; trusted
authorities and the proxy are kept. Paths come from trees, which are checked elsewhere; `.gitmodules` only adds URLs.
Mirrors are locked until the archive is made, so runs of repositories that have each other as submodules may wait for
each other, at most until the deadline.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from dulwich.config import ConfigFile, parse_submodules

from fleetbeat.errors import AuthenticationFailed, FleetbeatError, GitOperationFailed, InvalidURL
from fleetbeat.sources.credentials import Account, HttpCredentials
from fleetbeat.sources.git.address import checked_url
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.mirror import Mirror, NotSent, open_mirror
from fleetbeat.sources.git.obtain import obtain_fixed
from fleetbeat.sources.git.refs import Candidate
from fleetbeat.sources.git.remote import Refused, connect

FILE_NAME = ".gitmodules"
_FIELD = f"its URL in {FILE_NAME}"
_FILE_BYTES = 1024 * 1024
_DEPTH, _COUNT = 10, 200
_PORTS = {"http": 80, "https": 443, "ssh": 22}


@dataclass
class Repository:
    """One repository of the run: the spec's own or a submodule."""

    url: str
    mirror: Mirror
    tree: bytes
    """Id of the tree of the commit that is meant."""
    path: str = ""
    """Where it lies in the whole, empty or ending in `/`."""
    depth: int = 0
    modules_file: Callable[[], bytes | None] = field(default=lambda: None)
    """Reads its `.gitmodules`."""

    @cached_property
    def urls(self) -> dict[str, str]:
        """Path of a submodule, relative to this repository → its URL as written."""
        data = self.modules_file()
        where = repr(self.path + FILE_NAME)
        if data is None:
            return {}
        if len(data) > _FILE_BYTES:
            raise GitOperationFailed(f"{where} is larger than {_FILE_BYTES} bytes")
        try:
            config = ConfigFile.from_file(BytesIO(data), expand_includes=False)
            found = list(parse_submodules(config))
        except ValueError as error:
            raise GitOperationFailed(f"{where} cannot be read: {error}") from None
        return {
            path.decode("utf-8", "surrogateescape").strip("/"): url.decode("utf-8", "replace") for path, url, _ in found
        }


class Submodules:
    """Opens the submodules of one run; make one by `opened`."""

    def __init__(
        self, account: Account, root: Repository, cache: Path, limits: GitLimits, deadline: Deadline, max_bytes: int
    ) -> None:
        self._account = account
        self._origin = origin(root.url)
        self._mirrors = {(root.url, account.fingerprint): root.mirror}
        self._cache = cache
        self._limits = limits
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._stack = ExitStack()
        self._count = 0

    def open(self, parent: Repository, path: str, commit: str) -> Repository:
        """The submodule at `path` of `parent`, at that commit. Raises GitOperationFailed or AuthenticationFailed."""
        whole = parent.path + path
        self._count += 1
        if parent.depth >= _DEPTH or self._count > _COUNT:
            raise GitOperationFailed(f"submodule {whole!r}: they nest deeper than {_DEPTH} or are more than {_COUNT}")
        written = parent.urls.get(path)
        if written is None:
            raise GitOperationFailed(
                f"submodule {whole!r}: {parent.path + FILE_NAME!r} has no entry with its path and URL"
            )
        try:
            url = resolve(parent.url, written)
            mirror, tree = self._obtain(url, commit)
        except InvalidURL as error:
            raise GitOperationFailed(f"submodule {whole!r}: {error.message}") from error
        except FleetbeatError as error:
            raise type(error)(f"submodule {whole!r}: {error.message}", retry_after=error.retry_after) from error
        return Repository(url, mirror, tree, f"{whole}/", parent.depth + 1)

    def forget(self) -> None:
        """Empty every mirror, because one of them is damaged."""
        for mirror in self._mirrors.values():
            mirror.clear()

    def close(self) -> None:
        self._stack.close()

    def _obtain(self, url: str, commit: str) -> tuple[Mirror, bytes]:
        account = self._account_for(url)
        mirror = self._mirror(url, account)
        try:
            with connect(url, account, self._deadline, self._limits) as server:
                server.refs(["HEAD"])  # the account gets in, or nothing of the mirror is for it
                obtain_fixed(mirror, server, Candidate(f"sha1:{commit}", commit, commit))
        except AuthenticationFailed as error:
            raise AuthenticationFailed(f"{error.message}{self._hint(url)}") from error
        except Refused as error:
            raise GitOperationFailed(f"{error.message}{self._hint(url)}") from error
        except NotSent as error:
            raise GitOperationFailed(
                f"{url} does not have the commit {commit}: push it there, or let the submodule point to another one"
            ) from error
        return mirror, mirror.commit(commit).tree

    def _mirror(self, url: str, account: Account) -> Mirror:
        """Each mirror is opened once a run: a second lock of it would wait for the first for ever."""
        slot = (url, account.fingerprint)
        if slot not in self._mirrors:
            opened = open_mirror(self._cache, url, account.fingerprint, self._limits, self._deadline, self._max_bytes)
            self._mirrors[slot] = self._stack.enter_context(opened)
        return self._mirrors[slot]

    def _account_for(self, url: str) -> Account:
        if origin(url) == self._origin:
            return self._account
        ca = self._account.ca if isinstance(self._account, HttpCredentials) else None
        return HttpCredentials(ca=ca, proxy=self._account.proxy)

    def _hint(self, url: str) -> str:
        if origin(url) == self._origin:
            return ""
        return "; it is another server than that of spec.url, so it is asked without credentials"


@contextmanager
def opened(
    account: Account, root: Repository, cache: Path, limits: GitLimits, deadline: Deadline, max_bytes: int
) -> Iterator[Submodules]:
    """The submodules of a repository that `account` may read; mirrors that it opens are locked until the end."""
    made = Submodules(account, root, cache, limits, deadline, max_bytes)
    try:
        yield made
    finally:
        made.close()


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: who is told the credentials."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def resolve(parent: str, written: str) -> str:
    """The URL of a submodule; raises InvalidURL.

    `./x` and `../x` are relative to the parent's URL, as Git reads them: `../x` of `https://h/a/b` is `https://h/a/x`.
    `git@host:path` is `ssh://git@host/path`.
    """
    if written.startswith(("./", "../")):
        return checked_url(_relative(parent, written), _FIELD)
    host, colon, path = written.partition(":")
    if colon and "/" not in host and not path.startswith("//"):
        written = f"ssh://{host}/{path.lstrip('/')}"
    return checked_url(written, _FIELD)


def _relative(parent: str, written: str) -> str:
    parts = urlsplit(parent)
    path = posixpath.normpath(posixpath.join(parts.path.strip("/"), written))
    if path.split("/")[0] in ("..", "."):
        raise InvalidURL(f"{_FIELD} leads out of the server's root: {written!r}")
    return urlunsplit((parts.scheme, parts.netloc, f"/{path}", "", ""))
