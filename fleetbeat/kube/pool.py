"""The process's threads for requests to API servers: shared, so that many runs at once do not multiply the load.

Work given to it must not give work to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

SIZE = 8

T = TypeVar("T")
R = TypeVar("R")


@lru_cache(maxsize=1)
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(SIZE, thread_name_prefix="kube")


os.register_at_fork(after_in_child=_executor.cache_clear)


def run_all(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of each item, in order, in parallel. Waits for all of them; then raises the first error, if any."""
    if len(items) < 2:
        return [function(item) for item in items]
    futures = [_executor().submit(function, item) for item in items]
    failed = [error for future in futures if (error := future.exception())]
    if failed:
        raise failed[0]
    return [future.result() for future in futures]
