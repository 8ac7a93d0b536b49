"""Which kinds and names the words of a command mean: `ks apps`, `source git apps`, `Kustomization/flux-system/apps`.

Owns the aliases of the flux command line, beside each kind's own name, plural and short names. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

from fleetbeat.api.kinds import KINDS, Kind
from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed

GROUPS: dict[str, dict[str, str]] = {
    "source": {
        "git": "GitRepository",
        "oci": "OCIRepository",
        "helm": "HelmRepository",
        "chart": "HelmChart",
        "bucket": "Bucket",
        "external": "ExternalArtifact",
    },
    "image": {"repository": "ImageRepository", "policy": "ImagePolicy", "update": "ImageUpdateAutomation"},
    "artifact": {"generator": "ArtifactGenerator"},
}
"""Flux's two-word names: group, then member."""

EXTRA = {"alert-provider": "Provider", "alert-providers": "Provider"}

ORDER = (
    "GitRepository",
    "OCIRepository",
    "HelmRepository",
    "HelmChart",
    "Bucket",
    "ExternalArtifact",
    "ArtifactGenerator",
    "Kustomization",
    "HelmRelease",
    "Receiver",
    "Provider",
    "Alert",
    "ImageRepository",
    "ImagePolicy",
    "ImageUpdateAutomation",
)
"""The order in which `get all` shows the kinds: along a commit's way."""


class Selection(NamedTuple):
    """Kinds, and names of them; no names means all objects of each kind."""

    kinds: tuple[Kind, ...]
    names: tuple[str, ...] = ()
    namespace: str | None = None
    """The namespace, where a word named it (`ks/team-a/apps`); it wins over `-n`."""


@cache
def aliases() -> dict[str, Kind]:
    """Every single word for a kind, in lower case."""
    words: dict[str, Kind] = {word: KINDS[name] for word, name in EXTRA.items()}
    for kind in KINDS.values():
        for word in (kind.name, kind.singular, kind.plural, *kind.short_names):
            words[word.lower()] = kind
    return words


def kind_of(word: str) -> Kind:
    """The kind that one word means; CommandFailed names the nearest words."""
    known = aliases()
    low = word.lower()
    found = known.get(low)
    if found:
        return found
    near = get_close_matches(low, [*known, *GROUPS], n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the kinds are {', '.join(_words())}"
    raise CommandFailed(f"there is no kind {word!r}: {hint}")


def _words() -> list[str]:
    """The shortest word for each kind."""
    return [min((kind.singular, *kind.short_names), key=len) for kind in (KINDS[name] for name in ORDER)]


def parse(words: Sequence[str]) -> Selection:
    """Read the words of a command.

    Nothing or `all`, `KIND[,KIND…] [NAME…]`, `source git [NAME…]`, or `KIND/[NAMESPACE/]NAME…`.
    """
    if not words or words[0].lower() == "all":
        if len(words) > 1:
            raise CommandFailed(f"`all` takes no names, but {words[1]!r} follows it")
        return Selection(tuple(KINDS[name] for name in ORDER if name in KINDS))
    if "/" in words[0]:
        return _slashed(words)
    group = GROUPS.get(words[0].lower().removesuffix("s"))
    if group is None:
        kinds = tuple(kind_of(word) for word in words[0].split(",") if word)
        return _with_names(kinds, words[1:])
    return _with_names(_members(words[0], group, words[1:]), words[2:])


def parse_one(words: Sequence[str], namespace: str) -> tuple[Kind, Ref]:
    """Read words that must name exactly one object; `namespace` is where it lives unless a word says otherwise."""
    selection = parse(words)
    if len(selection.kinds) != 1 or len(selection.names) != 1:
        raise CommandFailed("name exactly one object, for example `ks apps`, `source git apps` or `ks/apps`")
    kind = selection.kinds[0]
    return kind, Ref(kind.name, selection.namespace or namespace, selection.names[0])


def _members(group_word: str, group: dict[str, str], rest: Sequence[str]) -> tuple[Kind, ...]:
    members = {word: KINDS[name] for word, name in group.items() if name in KINDS}
    if not rest or rest[0].lower() == "all":
        return tuple(members.values())
    word = rest[0].lower()
    for candidate in (word, word.removesuffix("s"), word.removesuffix("ies") + "y"):
        if candidate in members:
            return (members[candidate],)
    raise CommandFailed(f"there is no {group_word} {rest[0]!r}: use one of {', '.join(members)} or all")


def _with_names(kinds: tuple[Kind, ...], names: Sequence[str]) -> Selection:
    if names and len(kinds) > 1:
        raise CommandFailed(f"names need one kind, but {len(kinds)} are asked for; write KIND/NAME instead")
    for name in names:
        if "/" in name:
            raise CommandFailed(f"{name!r} is not a name; write either `KIND NAME` or `KIND/NAME`")
    return Selection(kinds, tuple(names))


def _slashed(words: Sequence[str]) -> Selection:
    parts = [word.split("/") for word in words]
    for word, part in zip(words, parts, strict=True):
        if len(part) not in (2, 3) or not all(part):
            raise CommandFailed(f"{word!r} is not of the form KIND/NAME or KIND/NAMESPACE/NAME")
    kinds = {kind_of(part[0]).name for part in parts}
    namespaces = {part[1] if len(part) == 3 else None for part in parts}
    if len(kinds) > 1 or len(namespaces) > 1:
        raise CommandFailed("objects named together must be of one kind and namespace")
    return Selection((KINDS[kinds.pop()],), tuple(part[-1] for part in parts), namespaces.pop())
