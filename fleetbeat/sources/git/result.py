"""What a look at a Git repository ends in. Owns the type only."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbeat.artifacts.archive import Archive


@dataclass(frozen=True)
class GitResult:
    """What a fetch found. `archive` is None when the artifact that was `observed` is still the right one."""

    revision: str
    """`main@sha1:<hex>` and the like."""
    commit: str
    """40 hex digits."""
    subject: str = ""
    """First line of the commit's message; empty when unchanged."""
    archive: Archive | None = None
    """To be closed by the caller."""
    verified: str = ""
    """What was verified with which key, if signatures were checked this time."""
    proof: str = ""
    """Of the signatures that hold, now or since an earlier time (see `verify`); empty when none is asked for."""
    warnings: tuple[str, ...] = ()
    """What consumers of a new archive will stumble over."""
    left_out: tuple[str, ...] = ()
    """What of the commit is not in a new archive."""
    links: tuple[str, ...] = ()
    """Paths of symbolic links that are not in a new archive; the first few."""

    @property
    def unchanged(self) -> bool:
        return self.archive is None

    @property
    def filename(self) -> str:
        """The artifact's file name."""
        return f"{self.commit}.tar.gz"
