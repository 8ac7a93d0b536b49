"""Which task runs which kind: the table that beat publishes by."""

from __future__ import annotations

ROUTES = {
    "ArtifactGenerator": "source.artifact.generate",
    "Bucket": "source.bucket.fetch",
    "GitRepository": "source.git.fetch",
    "HelmChart": "source.helm.chart",
    "HelmRepository": "source.helm.index",
    "Kustomization": "apply.kustomization",
    "OCIRepository": "source.oci.fetch",
    "Receiver": "notify.receiver",
}
"""kind → task name. The queue is the ref's shard."""

SWEEPS = {"apply": "apply.sweep", "source": "source.sweep"}
"""lane → the task that looks at many of its refs at once."""
