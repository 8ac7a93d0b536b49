"""Which ConfigMaps and Secrets registered resources refer to, counted, so that changes of all others cost nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator


class Interest:
    """`Kind/namespace/name` of referred ConfigMaps and Secrets."""

    def __init__(self) -> None:
        self._by_ref: dict[str, tuple[str, ...]] = {}
        self._counts: Counter[str] = Counter()

    def __contains__(self, target: str) -> bool:
        return target in self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def set(self, ref: str, targets: Iterable[str]) -> None:
        """What `ref` refers to now."""
        self.drop(ref)
        configs = tuple(target for target in targets if target.startswith(("Secret/", "ConfigMap/")))
        if configs:
            self._by_ref[ref] = configs
            self._counts.update(configs)

    def drop(self, ref: str) -> None:
        """`ref` is gone."""
        for target in self._by_ref.pop(ref, ()):
            self._counts[target] -= 1
            if not self._counts[target]:
                del self._counts[target]
