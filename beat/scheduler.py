"""The Celery scheduler: claim what is due, publish it in one batch, wait until something else is due.

Settings of the Celery app: `fleetbeat_redis_url`; `fleetbeat_routes` (kind → task); `fleetbeat_sweeps` (lane → the
task that sweeps it); where the defaults do not fit `fleetbeat_lane_caps` (shard → cap of live messages) and
`fleetbeat_cluster_cap`.
Holds no state that matters: a beat that dies loses nothing, and two beats at once claim different refs.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from celery.beat import Scheduler

from beat.messages import Routes
from beat.publisher import BATCH, Publisher
from fleetbeat.errors import Rebuilding, StateUnavailable
from fleetbeat.state import State, shards
from fleetbeat.state.dispatch import CLUSTER_CAP, CLUSTER_SWEEP_SIZE, LANE_CAP, Share

log = logging.getLogger(__name__)

BACKOFF = 0.5
SHORTEST_WAIT = 0.02
"""Seconds. What falls due by its interval within that time goes into one batch; a poke ends the wait at once."""
PACE = 0.01
"""Seconds from one claim to the next one in a storm of pokes, so that they gather; a lone poke waits for nothing."""
LONGEST_WAIT = 1.0
"""Seconds. Another beat may have taken the wake-up and died, so none waits longer."""


class FleetScheduler(Scheduler):  # type: ignore[misc]
    """Celery beat's scheduler over the due-set."""

    max_interval = LONGEST_WAIT
    state: State

    def setup_schedule(self) -> None:
        """Called once, when beat starts for real; connects on first use."""
        conf = self.app.conf
        self.state = State(conf.fleetbeat_redis_url)
        self._routes = Routes(conf.fleetbeat_routes, conf.fleetbeat_sweeps)
        self._cluster_cap: int = conf.get("fleetbeat_cluster_cap", CLUSTER_CAP)
        self._lane_caps: dict[str, int] = conf.get("fleetbeat_lane_caps", {})
        self._prefix: str = (conf.broker_transport_options or {}).get("global_keyprefix", "")
        self._shares = [self._share(shard) for shard in shards.ALL]
        self._claimed = 0.0
        self._publisher = Publisher(self.app)
        self._trouble = ""

    def tick(self, **_: Any) -> float:
        """Claim and publish all that is due, then wait; returns the seconds that Celery should sleep besides.

        Whatever fails is told and tried again, and what was claimed but not published is published again.
        """
        try:
            wait = self._serve()
            if wait > 0:
                self.state.await_wake(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT))
                return max(0.0, self._claimed + PACE - monotonic())
        except StateUnavailable as error:
            self._tell(error.message)
            return BACKOFF
        except Exception:
            log.exception("beat: a round failed, trying again")
            self._publisher.hang_up()
            return BACKOFF
        return 0.0

    def _serve(self) -> float:
        """One round over all shards; returns the seconds until the next one makes sense."""
        try:
            self._publisher.flush()
            wait = self._serve_shards()
        except Rebuilding as error:
            self._tell(error.message)
            return LONGEST_WAIT
        self._tell("")
        return wait

    def _serve_shards(self) -> float:
        claims = self.state.claims(self._shares, BATCH)
        for shard, claimed in claims.items():
            if claimed.runs or claimed.sweeps:
                self._publisher.add(self._routes.messages(shard, claimed))
                self._claimed = monotonic()
        self._publisher.flush()
        return min(claimed.wait for claimed in claims.values())

    def _share(self, shard: str) -> Share:
        lane_cap = self._lane_caps.get(shard, LANE_CAP)
        queue = f"{self._prefix}{shard}"
        if shard in shards.APPLY:
            return Share(shard, lane_cap, self._cluster_cap, queue, CLUSTER_SWEEP_SIZE)
        return Share(shard, lane_cap, lane_cap, queue)

    def _tell(self, trouble: str) -> None:
        """Log what keeps beat from working, once, and that it is over."""
        if trouble != self._trouble:
            log.warning("beat waits: %s", trouble) if trouble else log.info("beat goes on")
            self._trouble = trouble

    def close(self) -> None:
        """Celery's end of work."""
        super().close()
        self._publisher.hang_up()
        self.state.close()

    @property
    def info(self) -> str:
        """Shown in beat's banner."""
        return f"    . shards -> {', '.join(shards.ALL)}"
