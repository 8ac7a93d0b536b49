"""Who else applies an object of ours: another hub with a resource of our name, or the cluster's own Flux.

Owner labels name a resource, not the hub that it lives on, so before anything is deleted the others are asked: the
ledgers of other hubs on that cluster, and the inventory of a Kustomization of our name that lives there. What one of
them names is not deleted. Costs a LIST and at most a GET for a whole prune, and nothing while nothing is deleted.
Reads only, under Fleetbeat's own account.
"""

from __future__ import annotations

from collections.abc import Mapping

from fleetbeat.api.refs import ObjectId
from fleetbeat.kube import ledger
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import Forbidden, NoMatch, NotFound
from fleetbeat.kube.marks import GROUP
from fleetbeat.kube.metadata import Live, list_metadata
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.target import Target

_CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", True)

Claims = Mapping[ObjectId, str]
"""Object → who applies it, as a person reads it."""


def others(target: Target, options: ApplyOptions) -> Claims:
    """What others say is theirs on this cluster, of the objects that carry our owner's labels.

    Raises KubeError when the cluster cannot be asked and LedgerUnreadable when a foreign ledger cannot be read:
    then nothing may be deleted.
    """
    found: dict[ObjectId, str] = dict(_kustomization(target, options))
    for oid, live in _foreign_ledgers(target, options).items():
        try:
            entries = ledger.entries_of(target.client.get(_CONFIG_MAPS.path(oid.namespace, oid.name)))
        except NotFound:
            continue
        hub = live.labels[ledger.LABEL]
        command = f"kubectl delete configmap -n {oid.namespace} -l {ledger.LABEL}={hub}"
        name = f"hub {hub} (if it is gone for good: {command})"
        found |= dict.fromkeys(entries, name)
    return found


def _foreign_ledgers(target: Target, options: ApplyOptions) -> dict[ObjectId, Live]:
    """Those of other hubs for a resource of our name; as far as the account may see them."""
    selector = f"{ledger.LABEL},{ledger.LABEL}!={options.hub_id}"
    for namespace in dict.fromkeys(("", target.client.config.namespace or ledger.NAMESPACE)):
        try:
            found = list_metadata(target, _CONFIG_MAPS, selector, namespace)
        except Forbidden:
            continue
        return {oid: live for oid, live in found.items() if live.annotations.get(ledger.REF) == str(options.owner)}
    return {}


def _kustomization(target: Target, options: ApplyOptions) -> Claims:
    """The inventory of the cluster's own Kustomization of our name; of a cluster where ours lives it is ours."""
    if not options.uid:
        return {}
    try:
        resource = target.discovery.resource(GROUP, "", options.owner.kind)
        obj = target.client.get(resource.path(options.owner.namespace, options.owner.name))
    except (NoMatch, NotFound, Forbidden):
        return {}
    if obj["metadata"]["uid"] == options.uid:
        return {}
    entries = ((obj.get("status") or {}).get("inventory") or {}).get("entries") or []
    name = f"{options.owner.kind} {options.owner.namespace}/{options.owner.name} of that cluster"
    return {ObjectId.from_inventory_id(entry["id"]): name for entry in entries}
