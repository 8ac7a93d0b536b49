"""`fleetbeat get`: objects and their state as aligned columns, as data, or live.

Owns the reading of the lists and their arrangement into blocks, one per kind. Columns are in rows.py, `--watch` is in
live.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from fleetbeat.api.kinds import Kind
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from fleetbeat.kube.errors import KubeError
from fleetbeat.kube.pool import run_all
from workers.cli import rows, table
from workers.cli.connect import Access
from workers.cli.formats import Format, as_list, dump
from workers.cli.hub import Hub
from workers.cli.terminal import Terminal, Tone
from workers.cli.words import Selection, parse


@dataclass(frozen=True)
class Query:
    """What the user asked to see."""

    selection: Selection
    namespace: str | None
    """None: all namespaces."""
    selector: str = ""
    output: Format = Format.TABLE

    def columns(self, kind: Kind) -> list[rows.Column]:
        """The columns of a kind's block; several kinds prefix the names with their own."""
        return rows.columns_of(
            kind,
            namespaced=self.namespace is None,
            prefixed=len(self.selection.kinds) > 1,
            wide=self.output is Format.WIDE,
        )

    @property
    def place(self) -> str:
        """Where it is looked for, in words."""
        return "any namespace" if self.namespace is None else f"namespace {self.namespace}"


@dataclass(frozen=True)
class Block:
    """The objects found of one kind; `problem` when the list failed."""

    kind: Kind
    objects: tuple[rows.Obj, ...] = ()
    problem: str = ""


def run(words: Sequence[str], access: Access, *, everywhere: bool, selector: str, output: Format, watch: bool) -> None:
    """Print what `words` name; CommandFailed when a named object does not exist."""
    selection = parse(words)
    if everywhere and selection.names:
        raise CommandFailed("a name needs one namespace: use -n NAMESPACE instead of -A")
    if watch and output.is_data:
        raise CommandFailed(f"--watch shows a table; it cannot be combined with -o {output}")
    namespace = None if everywhere else selection.namespace or access.namespace
    query = Query(selection, namespace, selector, output)
    hub = Hub(access)
    if watch:
        from workers.cli import live

        live.run(hub, query)
        return
    blocks = fetch(hub, query)
    if output.is_data:
        _print_data(blocks, query)
    else:
        _print_tables(blocks, query)
    _report(blocks)


def fetch(hub: Hub, query: Query) -> list[Block]:
    """Read everything asked for; kinds that the cluster lacks are left out unless they were named alone."""
    if query.selection.names:
        return [_named(hub, query)]
    blocks = run_all(lambda kind: _listed(hub, query, kind), query.selection.kinds)
    found = [block for block in blocks if block is not None]
    if not found:
        names = ", ".join(kind.name for kind in query.selection.kinds[:3])
        raise CommandFailed(f"the cluster does not have the kinds of Fleetbeat ({names} …): run `fleetbeat install`")
    return found


def _named(hub: Hub, query: Query) -> Block:
    kind = query.selection.kinds[0]
    refs = [Ref(kind.name, query.namespace or "", name) for name in query.selection.names]
    return Block(kind, tuple(run_all(lambda ref: hub.get(kind, ref), refs)))


def _listed(hub: Hub, query: Query, kind: Kind) -> Block | None:
    try:
        objects = hub.list(kind, query.namespace, query.selector)
    except KubeError as error:
        if len(query.selection.kinds) == 1 or not error.status:
            raise
        return Block(kind, problem=error.message)
    return None if objects is None else Block(kind, tuple(objects))


def _print_tables(blocks: Sequence[Block], query: Query) -> None:
    out = Terminal()
    filled = [block for block in blocks if block.objects]
    width = None if query.output is Format.WIDE else out.width
    for line in table.lines([_table(block, query) for block in filled], width=width, colour=out.colour):
        out.line(line)
    if not filled and not any(block.problem for block in blocks):
        what = f"no {query.selection.kinds[0].name}" if len(query.selection.kinds) == 1 else "nothing"
        Terminal(sys.stderr).line(f"There is {what} in {query.place}.")


def _table(block: Block, query: Query) -> table.Block:
    columns = query.columns(block.kind)
    return table.Block(rows.headers(columns), [rows.row(columns, block.kind, obj) for obj in block.objects])


def _print_data(blocks: Sequence[Block], query: Query) -> None:
    objects = [obj for block in blocks for obj in block.objects]
    single = len(query.selection.names) == 1
    Terminal().line(dump(objects[0] if single else as_list(objects), query.output))


def _report(blocks: Sequence[Block]) -> None:
    """Say which lists failed, after those that did not; fail when any did."""
    problems = [block for block in blocks if block.problem]
    err = Terminal(sys.stderr)
    for block in problems:
        err.state(Tone.BAD, f"{block.kind.name}: {block.problem}")
    if problems:
        raise SystemExit(1)
