"""Which task runs which kind: the table that beat publishes by."""

from __future__ import annotations

ROUTES = {
    "GitRepository": "source.git.fetch",
    "Kustomization": "apply.kustomization",
    "Receiver": "notify.receiver",
}
"""kind → task name. The queue is the ref's shard."""

SWEEPS = {"apply": "apply.sweep", "source": "source.sweep"}
"""lane → the task that looks at many of its refs at once."""
