"""A cluster as a run sees it: who reads, who writes, what kinds it knows."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.discovery import Discovery


@dataclass(frozen=True, slots=True)
class Target:
    """One cluster for one owner.

    `client` is Fleetbeat's own account: it reads metadata and keeps the ledger. `writer` is the account that every
    read and write of whole objects goes through: the tenant's, by impersonation, or the same as `client`.
    """

    client: KubeClient
    writer: KubeClient
    discovery: Discovery
    """Cached; share one per cluster between runs."""

    @classmethod
    def of(cls, client: KubeClient, writer: KubeClient | None = None, discovery: Discovery | None = None) -> Target:
        """A target over `client`; without `writer` it writes under the same account."""
        return cls(client, writer or client, discovery or Discovery(client))
