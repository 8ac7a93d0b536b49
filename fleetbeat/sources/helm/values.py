"""Values files merged as Helm merges them: maps deep, everything else replaced, the last file wins.

Works on YAML's nodes, not on values: whatever stands in a file (an octal number, a date, `yes`) stands in the result
as it was written, for Helm to read. An explicit null stays too: it is how Helm is told to drop a default. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode

from fleetbeat.errors import ValuesFilesFailed

MAX_DEPTH = 100
_MAP = "tag:yaml.org,2002:map"


def merge_values(files: Iterable[tuple[str, bytes]]) -> bytes:
    """The merged values.yaml of (name, content) in order of rising precedence; raises ValuesFilesFailed."""
    merged = MappingNode(_MAP, [], flow_style=False)
    for name, content in files:
        found = _read(name, content)
        if found is not None:
            merged = _merge(merged, found, name, MAX_DEPTH)
    text: str = yaml.serialize(merged, Dumper=yaml.CSafeDumper, allow_unicode=True, width=10_000)
    return text.encode()


def _read(name: str, content: bytes) -> MappingNode | None:
    try:
        node = yaml.compose(content, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValuesFilesFailed(f"{name}: {where}{getattr(error, 'problem', None) or 'it is not YAML'}") from None
    except RecursionError:
        raise ValuesFilesFailed(f"{name}: it nests too deep") from None
    if node is None or (isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return None
    if not isinstance(node, MappingNode):
        raise ValuesFilesFailed(f"{name}: it is not a mapping of values")
    return node


def _merge(base: MappingNode, over: MappingNode, name: str, depth: int) -> MappingNode:
    """A new mapping; neither of the two is changed, because aliases may share them."""
    if depth == 0:
        raise ValuesFilesFailed(f"{name}: it nests deeper than {MAX_DEPTH}")
    found = _pairs(base, name)
    for key, (key_node, value) in _pairs(over, name).items():
        before = found.get(key)
        if before is not None and isinstance(before[1], MappingNode) and isinstance(value, MappingNode):
            value = _merge(before[1], value, name, depth - 1)
        found[key] = (key_node, value)
    return MappingNode(_MAP, list(found.values()), flow_style=False)


def _pairs(node: MappingNode, name: str) -> dict[str, tuple[Node, Node]]:
    flat = MappingNode(node.tag, list(node.value), node.start_mark, node.end_mark)
    try:
        SafeConstructor().flatten_mapping(flat)
    except (ConstructorError, RecursionError):
        raise ValuesFilesFailed(f"{name}: a merge key (<<) names no mapping") from None
    pairs: dict[str, tuple[Node, Node]] = {}
    for key, value in flat.value:
        if not isinstance(key, ScalarNode):
            raise ValuesFilesFailed(f"{name}: line {key.start_mark.line + 1}: a key is not text")
        pairs[str(key.value)] = (key, value)
    return pairs
