"""One repository on one server, whatever protocol leads there.

Owns the choice of the transport, what the rest of the code may ask of it, and the words for what dulwich raises. How
bytes travel and who may have them is the transports' business (`transport` for HTTP, `ssh`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from dulwich.errors import GitProtocolError, HangupException
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID
from dulwich.protocol import CAPABILITY_THIN_PACK

from fleetbeat.errors import AuthenticationFailed, GitOperationFailed
from fleetbeat.sources.credentials import Account, HttpCredentials, SshCredentials
from fleetbeat.sources.git.limits import Deadline, GitLimits
from fleetbeat.sources.git.ssh import SshClient
from fleetbeat.sources.git.transport import HttpClient
from fleetbeat.sources.tokens import TOKENS


class Refused(GitOperationFailed):
    """The Git server understood the request and declined it."""


class Remote:
    """One repository for the length of one run; make one by `connect`."""

    def __init__(self, url: str, client: HttpClient | SshClient) -> None:
        self.url = url
        """Without credentials."""
        self._client = client

    def refs(self, prefixes: Iterable[str]) -> dict[str, str]:
        """The references that begin with one of `prefixes`; an annotated tag has a second entry `<name>^{}`."""
        with self._translated():
            found = self._client.get_refs(b"", ref_prefix=[prefix.encode() for prefix in prefixes]).refs
        return {_text(name): _text(value) for name, value in found.items() if value is not None}

    def fetch(self, wants: list[str], haves: list[str], out: BinaryIO, *, depth: int | None) -> None:
        """Write to `out` a pack with all that `wants` need beyond `haves`, whose trees the caller has in full.

        Its deltas may build on what `haves` have (a thin pack): a server leaves out their files only for one who takes
        such packs.
        """
        known = {ObjectID(have.encode()) for have in haves}
        walker = ObjectStoreGraphWalker(known, lambda _: [], shallow=set(known))
        wanted = [ObjectID(want.encode()) for want in wants]
        with self._translated():
            self._client.fetch_pack(b"", lambda refs, depth=None: wanted, walker, out.write, depth=depth)

    def fetch_history(self, tip: str, since: str, out: BinaryIO) -> None:
        """Write to `out` a pack, whole by itself, with the commits that `tip` has and the history of `since` lacks.

        Files of theirs come along from a server that cannot leave them out.
        """
        walker = ObjectStoreGraphWalker({ObjectID(since.encode())}, lambda _: [])
        with self._translated(), self._whole_packs():
            self._client.fetch_pack(
                b"", lambda refs, depth=None: [ObjectID(tip.encode())], walker, out.write, filter_spec=b"tree:0"
            )

    @contextmanager
    def _whole_packs(self) -> Iterator[None]:
        """Packs without deltas on what the receiver is said to have."""
        capabilities = self._client._fetch_capabilities  # it is the constructor's to choose, and this is one client
        capabilities.discard(CAPABILITY_THIN_PACK)
        try:
            yield
        finally:
            capabilities.add(CAPABILITY_THIN_PACK)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """dulwich's errors as ours, always with the URL, which holds no credentials."""
        try:
            yield
        except (GitProtocolError, HangupException) as error:
            raise Refused(f"{self.url}: {error or 'the server closed the connection'}") from error
        except (AssertionError, ValueError, KeyError, IndexError, TypeError) as error:
            raise GitOperationFailed(f"{self.url}: the server's answer is not Git's protocol: {error}") from error


@contextmanager
def connect(url: str, account: Account, deadline: Deadline, limits: GitLimits) -> Iterator[Remote]:
    """The repository at `url`, a `Plan`'s, for that account; the connection is made when first needed and ends with the
    block. AuthenticationFailed when the account is one for the other protocol."""
    client = _client(url, account, deadline, limits)
    try:
        yield Remote(url, client)
    except AuthenticationFailed:
        TOKENS.forget(account.fingerprint)
        raise
    finally:
        client.close()


def _client(url: str, account: Account, deadline: Deadline, limits: GitLimits) -> HttpClient | SshClient:
    if url.startswith("ssh://"):
        if isinstance(account, SshCredentials):
            return SshClient(url, account, deadline, limits)
        raise AuthenticationFailed(f"{url}: ssh needs a Secret with the keys identity and known_hosts")
    if isinstance(account, HttpCredentials):
        return HttpClient(url, account, deadline, limits)
    raise AuthenticationFailed(f"{url}: the Secret holds a login for ssh; the URL is one for HTTP")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
