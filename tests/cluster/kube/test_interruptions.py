"""An API server that is overloaded or goes away in the middle of a stage: nothing is lost, nothing stays half done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import pytest

from fleetbeat.kube.apply import ApplyFailed, prune
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import NotFound, Unreachable
from fleetbeat.kube.target import Target
from tests.support.managed import Managed, Object, config_map
from tests.support.trouble import OVERLOADED, SWALLOWED, UNHEARD, Troubled, is_write
from tests.support.wait import until
from tools.clusters import Cluster

pytestmark = pytest.mark.cluster

T = TypeVar("T")


@pytest.fixture
def front(cluster: Cluster) -> Iterator[Troubled]:
    """What stands between Fleetbeat and the API server."""
    with Troubled(ClusterConfig.from_kubeconfig(cluster.kubeconfig, trusted=True)) as running:
        yield running


@pytest.fixture
def behind(managed: Managed, front: Troubled) -> Iterator[Managed]:
    """The managed namespace, reached through `front` by a client that forgives at once."""
    client = KubeClient(front.config, longest_break=0.01)
    yield replace(managed, target=Target.of(client))
    client.close()


def objects(managed: Managed) -> list[Object]:
    return [config_map(managed, f"c{i}") for i in range(6)]


def there(managed: Managed) -> set[str]:
    found = managed.client.list(managed.path(config_map(managed)).rpartition("/")[0])["items"]
    return {item["metadata"]["name"] for item in found} - {"kube-root-ca.crt"}


def answered(call: Callable[[], T]) -> T | None:
    """What the call returns, None while the API server is left alone."""
    try:
        return call()
    except Unreachable:
        return None


class Every:
    """Trouble for requests to the objects `names`, at most `times` each."""

    def __init__(self, trouble: str, times: int, writes: bool, names: tuple[str, ...] = ("c",)) -> None:
        self.trouble, self.times, self.writes, self.names = trouble, times, writes, names
        self.met: dict[str, int] = {}

    def __call__(self, method: str, path: str) -> str:
        name = path.partition("?")[0].rpartition("/")[2]
        if not name.startswith(self.names) or method != "PATCH" or is_write(method, path) != self.writes:
            return ""
        self.met[name] = self.met.get(name, 0) + 1
        return self.trouble if self.met[name] <= self.times else ""


@pytest.mark.parametrize(
    ("trouble", "names"), [(OVERLOADED, ("c",)), (SWALLOWED, ("c0", "c1")), (UNHEARD, ("c0", "c1"))]
)
@pytest.mark.parametrize("writes", [False, True], ids=["dry runs", "writes"])
def test_passing_trouble_passes_unnoticed(
    managed: Managed, behind: Managed, front: Troubled, trouble: str, names: tuple[str, ...], writes: bool
) -> None:
    """All are told to wait once, or two connections break: the requests are sent again, all is as desired."""
    front.trouble = once = Every(trouble, 1, writes, names)
    behind.apply(*objects(behind))
    assert len(once.met) == (6 if names == ("c",) else 2)
    assert there(managed) == {f"c{i}" for i in range(6)}
    front.trouble = lambda method, path: ""
    behind.apply(*objects(behind))
    assert behind.writes() == 0


def test_an_overloaded_server_is_named_with_the_object(managed: Managed, behind: Managed, front: Troubled) -> None:
    """Where 429 does not pass, the stage is refused before its first write, and works once it is over."""
    front.trouble = Every(OVERLOADED, 99, False, ("c3",))
    with pytest.raises(ApplyFailed, match=rf"ConfigMap/{managed.namespace}/c3 dry-run failed.*HTTP 429"):
        behind.apply(*objects(behind))
    assert there(managed) == set()
    front.trouble = lambda method, path: ""
    assert {change.action for change in behind.apply(*objects(behind)).changes} == {"created"}


@pytest.mark.parametrize("trouble", [SWALLOWED, UNHEARD])
def test_a_server_that_goes_away_between_two_writes(
    managed: Managed, behind: Managed, front: Troubled, trouble: str
) -> None:
    """The run ends as unreachable; the next one completes what was begun, and all of it can be pruned."""
    written = 0

    def gone_after_two(method: str, path: str) -> str:
        nonlocal written
        if written >= 2:
            return trouble
        written += is_write(method, path)
        return ""

    intended = behind.ledger  # nothing of the run is remembered
    front.trouble = gone_after_two
    with pytest.raises(Unreachable, match="cannot be reached"):
        behind.apply(*objects(behind))
    assert len(there(managed)) >= 2
    front.trouble = lambda method, path: ""
    assert behind.ledger == intended
    result = until(lambda: answered(lambda: behind.apply(*objects(behind))), message="the breaker lets it through")
    assert {change.action for change in result.changes} <= {"created", "unchanged"}
    assert there(managed) == {f"c{i}" for i in range(6)}
    pruned = prune(behind.target, behind.ledger.entries, behind.options())
    assert len(pruned.changes) == 6


@pytest.mark.parametrize("trouble", [SWALLOWED, UNHEARD])
def test_a_delete_whose_answer_is_lost_is_done_once(
    managed: Managed, behind: Managed, front: Troubled, trouble: str
) -> None:
    """The prune ends as unreachable, and the next one finishes: what is gone needs no delete."""
    behind.apply(*objects(behind))
    met = 0

    def one_delete(method: str, path: str) -> str:
        nonlocal met
        met += method == "DELETE"
        return trouble if method == "DELETE" and met == 1 else ""

    front.trouble = one_delete
    with pytest.raises(Unreachable):
        prune(behind.target, behind.ledger.entries, behind.options())
    again = until(lambda: answered(lambda: prune(behind.target, behind.ledger.entries, behind.options())))
    assert not again.remaining
    for obj in objects(managed):
        with pytest.raises(NotFound):
            managed.live(obj)
