"""HTTP for The Update Framework, over all of whose requests one limit holds. Imported late, with its library."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from tuf.api.exceptions import SlowRetrievalError
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher


class BoundedFetcher(Urllib3Fetcher):
    """The library's fetcher, until a moment."""

    def __init__(self, timeout: int, until: float) -> None:
        """`timeout` is in seconds, for one answer; `until` in those of `time.monotonic()`, for all of them."""
        super().__init__(socket_timeout=timeout)
        self.until = until

    def _fetch(self, url: str) -> Iterator[bytes]:
        if monotonic() > self.until:
            raise SlowRetrievalError
        return super()._fetch(url)
