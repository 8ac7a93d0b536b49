"""Tasks of the `source` lane: fetch what sources name and publish it as artifacts."""

from __future__ import annotations

from celery import shared_task

from fleetbeat.artifacts.store import preload
from fleetbeat.errors import FleetbeatError
from fleetbeat.reconcile import artifactgenerator, bucket, gitrepository, helmchart, helmrepository, ocirepository
from fleetbeat.reconcile.outcome import Outcome
from fleetbeat.reconcile.run import execute
from fleetbeat.reconcile.sourcesweep import Polled, sweep
from tasks.context import context

preload()  # before the pool forks, so that its children share it


@shared_task(name="source.git.fetch", throws=(FleetbeatError,))
def fetch_git(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a GitRepository."""
    return execute(context(), gitrepository.PIPELINE, shard, ref, fence)


@shared_task(name="source.bucket.fetch", throws=(FleetbeatError,))
def fetch_bucket(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a Bucket."""
    return execute(context(), bucket.PIPELINE, shard, ref, fence)


@shared_task(name="source.artifact.generate", throws=(FleetbeatError,))
def generate_artifacts(shard: str, ref: str, fence: int) -> Outcome:
    """One run of an ArtifactGenerator."""
    return execute(context(), artifactgenerator.PIPELINE, shard, ref, fence)


@shared_task(name="source.oci.fetch", throws=(FleetbeatError,))
def fetch_oci(shard: str, ref: str, fence: int) -> Outcome:
    """One run of an OCIRepository."""
    return execute(context(), ocirepository.PIPELINE, shard, ref, fence)


@shared_task(name="source.helm.index", throws=(FleetbeatError,))
def fetch_index(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a HelmRepository."""
    return execute(context(), helmrepository.PIPELINE, shard, ref, fence)


@shared_task(name="source.helm.chart", throws=(FleetbeatError,))
def build_chart(shard: str, ref: str, fence: int) -> Outcome:
    """One run of a HelmChart."""
    return execute(context(), helmchart.PIPELINE, shard, ref, fence)


@shared_task(name="source.sweep", throws=(FleetbeatError,))
def sweep_sources(shard: str, cluster: str, fence: int, refs: list[str], why: str) -> Polled:
    """One look at the upstream of all sources whose interval came round; the cluster is the hub, `why` is empty."""
    return sweep(context(), shard, fence, refs)
