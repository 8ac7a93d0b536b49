"""A chart repository that helm made, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetbeat.errors import ChartPullFailed, Retryable
from fleetbeat.sources.credentials import ANONYMOUS, HttpCredentials
from fleetbeat.sources.deadline import Deadline
from fleetbeat.sources.helm.fetch import fetch_index
from fleetbeat.sources.helm.http import ChartServer as Client
from fleetbeat.sources.helm.repositories import IndexedRepository
from tools.chartserver import ChartServer

Connect = Callable[..., IndexedRepository]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChartServer]:
    """The server, with app in three versions."""
    with ChartServer(tmp_path / "charts") as running:
        for version in ("1.0.0", "1.2.0", "2.0.0-rc.1"):
            running.add("app", version)
        yield running


@pytest.fixture
def connect(server: ChartServer, tmp_path: Path) -> Connect:
    """`connect(account, …)`: the repository as that account sees it; its index was read just now."""

    def opened(
        account: HttpCredentials = ANONYMOUS,
        *,
        url: str = "",
        error: type[Retryable] = ChartPullFailed,
        **options: bool,
    ) -> IndexedRepository:
        client = Client.of(url or server.url, account, Deadline.after(10, error), **options)
        found = fetch_index(client, None, "", tmp_path)
        assert found.archive is not None
        index = tmp_path / "index.json"
        index.write_bytes(found.archive.file.read())
        found.archive.close()
        return IndexedRepository(client, index)

    return opened
