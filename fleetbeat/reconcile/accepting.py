"""The first look at a Kustomization's spec: what cannot or may not be done is refused before anything is touched."""

from __future__ import annotations

from fleetbeat.api.decode import decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.refs import Ref
from fleetbeat.errors import AccessDenied
from fleetbeat.kube.ignoring import compile_rules
from fleetbeat.reconcile.dependencies import depends_on
from fleetbeat.reconcile.healthrules import rules_of
from fleetbeat.reconcile.kustomization_work import KustomizationWork
from fleetbeat.reconcile.outcome import Outcome


def read_spec(work: KustomizationWork) -> Outcome | None:
    """The decoded spec, and what is compiled from it."""
    work.decoded = decode_spec(KINDS["Kustomization"], work.obj)
    spec = work.spec
    if work.ctx.settings.no_cross_namespace_refs:
        _refuse_other_namespaces(work)
    work.ignore = compile_rules(spec.ignore)
    work.rules = rules_of(spec.health_check_exprs)
    work.prune_limits  # noqa: B018 - a limit that is not understood is told now, not on the day that it is needed
    return None


def _refuse_other_namespaces(work: KustomizationWork) -> None:
    own, source = work.ref.namespace, work.spec.source_ref
    named = [("spec.sourceRef", Ref(source.kind, source.namespace or own, source.name))]
    named += [("spec.dependsOn", other) for other in depends_on(work.ref, work.obj)]
    for where, other in named:
        if other.namespace != own:
            raise AccessDenied(f"{where}: {other} is in another namespace, which this installation refuses")
