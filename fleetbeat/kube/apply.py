"""Staged server-side apply of everything that one resource wants on one cluster.

A stage reads like a sentence: resolve, read metadata, look (dry run), refuse or write, settle. Nothing of a stage is
written when the API server refuses any object of it, unless the options say that the others are to be; where only one
is to be written, its write needs no dry run. What the ledger and the fingerprints say is unchanged costs no more than
its metadata, and nothing where the options vouch for it. The ledger itself is the caller's to save: a superset before,
exact after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fleetbeat.api.refs import ObjectId, split_api_version
from fleetbeat.errors import ReconciliationFailed
from fleetbeat.kube import marks, order, pool
from fleetbeat.kube.desired import Desired, prepare
from fleetbeat.kube.discovery import Resource
from fleetbeat.kube.errors import Forbidden, NoMatch
from fleetbeat.kube.establish import NEW_KIND_PATIENCE, establish
from fleetbeat.kube.ignoring import ignored_in
from fleetbeat.kube.ledger import Ledger, LedgerEntry
from fleetbeat.kube.look import Looked, Verdict, look
from fleetbeat.kube.metadata import Live, get_metadata, list_metadata
from fleetbeat.kube.options import ApplyOptions
from fleetbeat.kube.prune import Change, Pruned, prune
from fleetbeat.kube.target import Target
from fleetbeat.kube.write import Written, entry_of, write

__all__ = ["ApplyFailed", "ApplyOptions", "ApplyResult", "Change", "Pruned", "apply_set", "prune"]

LIST_FROM = 4
"""From this many objects of one kind on, one LIST of their metadata is cheaper than a GET each."""


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What is on the cluster now, in the order of apply."""

    changes: tuple[Change, ...]
    entries: Mapping[ObjectId, LedgerEntry]
    """One for every desired object, skipped ones included."""
    terminating: frozenset[ObjectId] = frozenset()
    """Those that are there and being deleted."""


class ApplyFailed(ReconciliationFailed):
    """The cluster refused objects; `result` tells what had been written until then."""

    def __init__(self, problems: Iterable[str], result: ApplyResult) -> None:
        super().__init__("\n".join(problems))
        self.result = result


@dataclass(slots=True)
class _Run:
    """One apply in progress."""

    target: Target
    ledger: Ledger
    options: ApplyOptions
    labels: Mapping[str, str]
    patience: float = 0.0
    done: list[Written] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Of a run that goes on with what is valid."""

    def result(self) -> ApplyResult:
        changes = [
            Change(w.looked.desired.id, w.looked.desired.resource.version, w.action, w.drift)
            for w in self.done
            if not w.problem
        ]
        entries = {w.looked.desired.id: w.entry for w in self.done if w.entry is not None}
        return ApplyResult(tuple(changes), entries, frozenset(w.looked.desired.id for w in self.done if w.terminating))

    def fail_on(self, problems: Iterable[str]) -> None:
        """Ends the run, or notes them for its end."""
        self.problems += problems
        if self.problems and not self.options.valid:
            self.end()

    def end(self) -> None:
        """Raises ApplyFailed when there were problems."""
        if self.problems:
            raise ApplyFailed(self.problems, self.result())


def apply_set(
    target: Target, desired: Sequence[Mapping[str, Any]], ledger: Ledger, options: ApplyOptions
) -> ApplyResult:
    """Make the cluster hold `desired` (rendered objects, any order), given what `ledger` knows of earlier runs.

    Raises ApplyFailed naming every refused object; KubeError when the cluster cannot be reached; what the guard raises.
    """
    _refuse_duplicates(desired)
    run = _Run(target, ledger, options, marks.owner_labels(options.owner))
    for stage in order.grouped(desired, ObjectId.of, partial(order.stage, early=options.early)):
        _apply_stage(run, stage)
    run.end()
    return run.result()


def _refuse_duplicates(desired: Iterable[Mapping[str, Any]]) -> None:
    twice = [oid for oid, count in Counter(ObjectId.of(obj) for obj in desired).items() if count > 1]
    if twice:
        raise ReconciliationFailed(f"{', '.join(map(str, twice))} is rendered more than once; remove one of them")


def _apply_stage(run: _Run, stage: Sequence[Mapping[str, Any]]) -> None:
    wanted = _resolve(run, stage)
    live = _read_live(run, wanted)
    looked = _look_at_lone(run, wanted, live) or _look_at_all(run, wanted, live)
    run.fail_on(found.refusal for found in looked if found.refusal)
    written = _write_all(run, [found for found in looked if not found.refusal])
    run.fail_on(one.problem for one in written if one.problem)
    run.fail_on(establish(run.target, [one for one in written if not one.problem]))
    if any(w.looked.desired.id.kind == "CustomResourceDefinition" and w.action == "created" for w in written):
        run.patience = NEW_KIND_PATIENCE


def _resolve(run: _Run, stage: Sequence[Mapping[str, Any]]) -> list[Desired]:
    """The canonical form of a stage's objects; unknown kinds and missing namespaces are refused."""
    wanted, refusals = [], []
    for obj in stage:
        oid = ObjectId.of(obj)
        group, version = split_api_version(obj["apiVersion"])
        try:
            resource = run.target.discovery.resource(group, version, oid.kind)
        except NoMatch as error:
            refusals.append(f"{oid} dry-run failed: {error.message}")
            continue
        if resource.namespaced and not oid.namespace:
            refusals.append(f"{oid} namespace not specified: set metadata.namespace or spec.targetNamespace")
            continue
        ignored, secretive = ignored_in(obj, run.options.ignore), oid in run.options.secretive
        wanted.append(prepare(obj, resource, run.labels, ignored, run.options.digest_key, secretive=secretive))
    run.fail_on(refusals)
    return wanted


def _read_live(run: _Run, wanted: Iterable[Desired]) -> dict[ObjectId, Live]:
    """Metadata of the objects that may be unchanged or are left alone; the others are dry-run in any case."""
    kinds: dict[Resource, list[ObjectId]] = defaultdict(list)
    for desired in wanted:
        entry = run.ledger.entries.get(desired.id)
        if entry is not None and entry.uid and entry.digest in ("", desired.digest) and not _is_vouched(run, desired):
            kinds[desired.resource].append(desired.id)
    found: dict[ObjectId, Live] = {}
    for resource, ids in kinds.items():
        found.update(_read_kind(run, resource, ids))
    return found


def _read_kind(run: _Run, resource: Resource, ids: Sequence[ObjectId]) -> dict[ObjectId, Live]:
    if len(ids) >= LIST_FROM:
        namespaces = {oid.namespace for oid in ids}
        namespace = namespaces.pop() if len(namespaces) == 1 else ""
        try:
            return list_metadata(run.target, resource, marks.selector(run.options.owner), namespace)
        except Forbidden:
            pass  # the account may read its own namespaces only
    read = pool.run_all(lambda oid: get_metadata(run.target.client, resource, oid.namespace, oid.name), ids)
    return {oid: live for oid, live in zip(ids, read, strict=True) if live is not None}


def _is_vouched(run: _Run, desired: Desired) -> bool:
    entry = run.ledger.entries.get(desired.id)
    same = entry is not None and bool(entry.fingerprint) and entry.digest == desired.digest
    return same and desired.id in run.options.vouched and not run.options.full


def _look_at_all(run: _Run, wanted: Sequence[Desired], live: Mapping[ObjectId, Live]) -> list[Looked]:
    def judge(desired: Desired) -> Looked:
        entry = run.ledger.entries.get(desired.id)
        return look(run.target, desired, entry, live.get(desired.id), run.options, run.patience)

    at_once = [_settled(run, desired, live.get(desired.id)) for desired in wanted]
    doubtful = [desired for desired, settled in zip(wanted, at_once, strict=True) if settled is None]
    answers = iter(pool.run_all(judge, doubtful))
    return [settled if settled is not None else next(answers) for settled in at_once]


def _look_at_lone(run: _Run, wanted: Sequence[Desired], live: dict[ObjectId, Live]) -> list[Looked] | None:
    """When a new intent for one object is all that this stage writes: what to do without a dry run; else None."""
    settled = {desired.id: _settled(run, desired, live.get(desired.id)) for desired in wanted}
    doubtful = [desired for desired in wanted if settled[desired.id] is None]
    if len(doubtful) != 1:
        return None
    lone = doubtful[0]
    entry = run.ledger.entries.get(lone.id)
    if run.patience or run.options.full or lone.id in live or entry is None or not entry.digest:
        return None  # its kind may not be served yet, or it is to be compared
    there = get_metadata(run.target.client, lone.resource, lone.id.namespace, lone.id.name)
    if there is None or there.uid != entry.uid:
        return None
    found = _settled(run, lone, there) or Looked(lone, Verdict.WRITE, there, rv=there.rv, alone=True)
    return [settled[desired.id] or found for desired in wanted]


def _settled(run: _Run, desired: Desired, live: Live | None) -> Looked | None:
    """The verdict that needs no dry run, None when one is needed."""
    if marks.ignored(desired.metadata):
        return Looked(desired, Verdict.SKIP, live)
    if live is None:
        return Looked(desired, Verdict.KEEP) if _is_vouched(run, desired) else None
    if marks.once(desired.metadata) or marks.ignored({"labels": live.labels, "annotations": live.annotations}):
        return Looked(desired, Verdict.SKIP, live)
    entry = run.ledger.entries[desired.id]
    same = entry.digest == desired.digest and entry.fingerprint == live.fingerprint
    return Looked(desired, Verdict.KEEP, live) if same and not run.options.full else None


def _write_all(run: _Run, looked: Sequence[Looked]) -> list[Written]:
    """Wave after wave, each in parallel; a wave with a failure is the last, unless what is valid is to be applied."""
    written: list[Written] = []
    for wave in order.grouped(looked, lambda found: found.desired.id, order.wave):
        outcomes = pool.run_all(lambda found: _finish(run, found), wave)
        written += outcomes
        run.done += outcomes
        if any(outcome.problem for outcome in outcomes) and not run.options.valid:
            break
    return written


def _finish(run: _Run, found: Looked) -> Written:
    terminating = found.live is not None and found.live.deleting
    if found.verdict is Verdict.KEEP:
        entry = entry_of(found.desired, found.live) if found.live else run.ledger.entries[found.desired.id]
        return Written(found, "unchanged", entry, terminating=terminating)
    if found.verdict is Verdict.SKIP:
        return Written(found, "skipped", _skipped_entry(run, found))
    written = write(run.target, found, run.options)
    return _finish_refused(run, found) if written.problem and found.alone else written


def _finish_refused(run: _Run, found: Looked) -> Written:
    """The dry run that a lone object was spared says what is wrong, or how it can be done."""
    desired = found.desired
    again = look(run.target, desired, run.ledger.entries.get(desired.id), found.live, run.options, run.patience)
    return Written(again, "unchanged", problem=again.refusal) if again.refusal else _finish(run, again)


def _skipped_entry(run: _Run, found: Looked) -> LedgerEntry:
    """Without digest: looked at every time. Watched while it carries our labels, so that its return to us is seen."""
    version, live = found.desired.resource.version, found.live
    if live is None:
        return LedgerEntry(version)
    ours = marks.is_owned(live.labels, run.options.owner, run.options.hub_id)
    return LedgerEntry(version, "", live.fingerprint if ours else "", live.uid)
