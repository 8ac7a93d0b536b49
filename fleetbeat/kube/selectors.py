"""Which objects a `target` of a spec is for, by kustomize's rules: names are anchored RE2 patterns, labels kubectl's.

Owns the grammar of label selectors. Pure functions; what is wrong with a selector is told once, when it is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

from fleetbeat.api.appliers import Selector
from fleetbeat.api.refs import split_api_version
from fleetbeat.errors import InvalidSpec

Labels = Mapping[str, str]
Check = Callable[[Labels], bool]

MAX_MEMORY = 1 << 20
"""Bytes that one compiled pattern may take."""
_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_VALUE = r"[-A-Za-z0-9_.]*"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<no>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s+(?P<among>in|notin)\s*\((?P<values>[^()]*)\)"
    rf"|\s*(?P<sign>==|=|!=|>|<)\s*(?P<value>{_VALUE}))?)\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class Match:
    """A compiled selector."""

    patterns: Mapping[str, Callable[[str], Any]]
    labels: Check
    annotations: Check

    def __call__(self, obj: Mapping[str, Any]) -> bool:
        """Whether it selects this object."""
        metadata = obj["metadata"]
        group, version = split_api_version(obj["apiVersion"])
        facts = {
            "group": group,
            "version": version,
            "kind": obj["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace") or "",
        }
        if not all(matches(facts[fact]) for fact, matches in self.patterns.items()):
            return False
        return self.labels(metadata.get("labels") or {}) and self.annotations(metadata.get("annotations") or {})


def compile_selector(selector: Selector, where: str) -> Match:
    """`selector` as a predicate; raises InvalidSpec naming its field after `where`."""
    facts = ("group", "version", "kind", "name", "namespace")
    patterns = {fact: getattr(selector, fact) for fact in facts if getattr(selector, fact)}
    return Match(
        {fact: _pattern(text, f"{where}.{fact}") for fact, text in patterns.items()},
        label_selector(selector.label_selector or "", f"{where}.labelSelector"),
        label_selector(selector.annotation_selector or "", f"{where}.annotationSelector"),
    )


def _pattern(text: str, where: str) -> Callable[[str], Any]:
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    try:
        compiled: Callable[[str], Any] = re2.compile(text, options).fullmatch
    except re2.error as error:
        raise InvalidSpec(f"{where} {text[:100]!r} is no regular expression") from error
    return compiled


def label_selector(text: str, where: str) -> Check:
    """A selector such as `app=web,tier in (a, b),!old` as a predicate; raises InvalidSpec."""
    checks: list[Check] = []
    at = 0
    while at < len(text.rstrip()):
        found = _REQUIREMENT.match(text, at)
        if found is None:
            raise InvalidSpec(f"{where} {text[:100]!r} is no label selector")
        checks.append(_requirement(found, where))
        at = found.end()
    if text.rstrip().endswith(","):
        raise InvalidSpec(f"{where} {text[:100]!r} is no label selector")
    return lambda labels: all(check(labels) for check in checks)


def _requirement(found: re.Match[str], where: str) -> Check:
    key, value = found["key"], found["value"]
    if found["absent"]:
        absent = found["no"]
        return lambda labels: absent not in labels
    if found["among"]:
        values = {part.strip() for part in found["values"].split(",")}
        if found["among"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if found["sign"] in ("=", "=="):
        return lambda labels: key in labels and labels[key] == value
    if found["sign"] == "!=":
        return lambda labels: labels.get(key) != value
    if found["sign"]:
        return _compared(key, found["sign"], value, where)
    return lambda labels: key in labels


def _compared(key: str, sign: str, value: str, where: str) -> Check:
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise InvalidSpec(f"{where}: {key}{sign}{value} compares with no whole number")
    limit = int(value)

    def check(labels: Labels) -> bool:
        if not re.fullmatch(r"-?\d{1,18}", labels.get(key, "")):
            return False
        return int(labels[key]) > limit if sign == ">" else int(labels[key]) < limit

    return check
