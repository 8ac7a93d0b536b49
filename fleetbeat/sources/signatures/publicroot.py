"""The trusted root of the public Sigstore, kept current by The Update Framework (TUF).

Owns its way from Sigstore's TUF repository to the process. The chain of trust begins with the root metadata that the
library `sigstore` ships; every further file is verified by it. Network access is bounded, and there is no way round a
failed one: a root that cannot be proved current verifies nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote

from fleetbeat.errors import VerificationFailed

if TYPE_CHECKING:
    from tuf.ngclient.updater import Updater

URL = "https://tuf-repo-cdn.sigstore.dev"
TARGET = "trusted_root.json"
BELIEVED = 6 * 3600.0
"""Seconds for which a root that was proved current is used without asking again."""
PATIENCE = 60.0
"""Seconds after a failure in which nobody asks again."""
TIMEOUT = 10
"""Seconds without an answer or a further byte."""
TOTAL = 30.0
"""Seconds after which no further file is asked for."""


@dataclass
class PublicRoot:
    """Calling it gives the `trusted_root.json`. Thread-safe; processes may share the directory."""

    directory: Path
    url: str = URL
    bootstrap: bytes | None = None
    """The root metadata to begin with; None: what the library ships for `url`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: bytes = b""
    _at: float = float("-inf")
    _failed: tuple[float, str] = (float("-inf"), "")

    def __call__(self) -> bytes:
        """The current trusted root; raises VerificationFailed."""
        with self._lock:
            if self._found and monotonic() - self._at < BELIEVED:
                return self._found
            if monotonic() - self._failed[0] < PATIENCE:
                raise VerificationFailed(self._failed[1])
            try:
                self._found, self._at = self._fetch(), monotonic()
            except Exception as error:
                self._failed = monotonic(), _told(self.url, error)
                raise VerificationFailed(self._failed[1]) from error
            return self._found

    def _fetch(self) -> bytes:
        for part in ("metadata", "targets"):
            (self.directory / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / "lock").open("w") as lock:
            flock(lock, LOCK_EX)
            updater = self._updater()
            updater.refresh()
            target = updater.get_targetinfo(TARGET)
            if target is None:
                raise LookupError(f"it has no {TARGET}")
            return Path(updater.find_cached_target(target) or updater.download_target(target)).read_bytes()

    def _updater(self) -> Updater:
        from tuf.ngclient.config import UpdaterConfig
        from tuf.ngclient.updater import Updater

        from fleetbeat.sources.signatures.tuffetcher import BoundedFetcher

        return Updater(
            str(self.directory / "metadata"),
            self.url,
            str(self.directory / "targets"),
            f"{self.url}/targets/",
            BoundedFetcher(TIMEOUT, monotonic() + TOTAL),
            UpdaterConfig(max_root_rotations=64, max_delegations=4),
            bootstrap=self.bootstrap or shipped_root(self.url),
        )


def shipped_root(url: str) -> bytes:
    """The root metadata that the library ships for a TUF repository."""
    return files("sigstore").joinpath("_store", quote(url, safe=""), "root.json").read_bytes()


def _told(url: str, error: Exception) -> str:
    return (
        f"the public trusted root cannot be had from {url} ({type(error).__name__});"
        " allow that connection, or give a root in spec.verify.trustedRootSecretRef"
    )
