"""Which artifacts a generator declares."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleetbeat.api.source_extensions import ArtifactGeneratorSpec
from fleetbeat.artifacts.archive import Entry
from fleetbeat.errors import InvalidSpec
from fleetbeat.sources.generate import Output, Tree, check, outputs

pytestmark = pytest.mark.unit


def spec(pattern: str | None = None, artifacts: list[dict[str, Any]] | None = None, **more: Any) -> Any:
    """A generator of the source `repo`."""
    copy = (
        [{"from": "@repo/apps/{app}/**", "to": "@artifact/"}] if pattern else [{"from": "@repo/x", "to": "@artifact/"}]
    )
    made = artifacts or [{"name": "{app}" if pattern else "x"}]
    fields = {
        "sources": [{"alias": "repo", "kind": "GitRepository", "name": "r"}],
        "artifacts": [{"copy": copy, **artifact} for artifact in made],
        **({"pathPattern": pattern} if pattern else {}),
        **more,
    }
    return msgspec.convert(fields, ArtifactGeneratorSpec)


def tree(*folders: str) -> dict[str, Tree]:
    """The source `repo` with a file in each folder."""
    return {"repo": Tree.of(Entry(f"{folder}/f", bytes) for folder in folders)}


def names(found: list[Output]) -> list[str]:
    """Of the artifacts."""
    return [output.name for output in found]


def test_without_a_pattern_every_artifact_is_itself() -> None:
    """With its aliases."""
    (found,) = outputs(spec(artifacts=[{"name": "x", "revision": "@repo", "originRevision": "@repo"}]), tree())
    assert (found.name, found.revision, found.origin, found.labels) == ("x", "repo", "repo", {})


def test_one_artifact_for_every_directory_that_fits() -> None:
    """Captures as they are in paths, in lower case in names and labels; deeper and other directories do not fit."""
    found = outputs(
        spec("@repo/apps/{app}/envs/{env_name}", [{"name": "{app}-{env_name}"}]),
        tree("apps/Shop/envs/prod/x", "apps/Shop/envs/test", "apps/api/envs/prod", "infra/x/envs/prod", "apps/x"),
    )
    assert names(found) == ["shop-prod", "shop-test", "api-prod"]
    assert found[0].labels == {"app": "shop", "env_name": "prod"}
    assert found[0].copy[0].from_ == "@repo/apps/Shop/**"


def test_several_artifacts_for_each_directory() -> None:
    """In the order of the spec."""
    found = outputs(spec("@repo/apps/{app}", [{"name": "{app}"}, {"name": "{app}-docs"}]), tree("apps/a", "apps/b"))
    assert names(found) == ["a", "a-docs", "b", "b-docs"]


def test_a_pattern_that_finds_nothing_makes_nothing() -> None:
    """Which is no error: the directories may come."""
    assert outputs(spec("@repo/nowhere/{app}"), tree("apps/a")) == []


@pytest.mark.parametrize(
    ("pattern", "artifacts", "folders", "message"),
    [
        ("@repo/apps/{app}", None, ["apps/A", "apps/a"], "both make an artifact 'a'"),
        ("@repo/apps/{app}", [{"name": "same"}], ["apps/a", "apps/b"], "both make an artifact 'same'"),
        ("@repo/apps/{app}", None, ["apps/a_"], "value of a label"),
        ("@repo/apps/{app}", None, ["apps/a_b"], "not the name of a Kubernetes object"),
        ("@repo/apps/{app}", [{"name": "{other}"}], ["apps/a"], "no capture {other}"),
        ("@repo/{a}/{a}", [{"name": "{a}"}], ["x/y"], "occurs twice"),
        ("@repo/{a-b}", None, ["x"], "key of a label"),
        ("@repo/{app", None, ["x"], "no counterpart"),
        ("@repo/{}", None, ["x"], "key of a label"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(
    pattern: str, artifacts: list[dict[str, Any]] | None, folders: list[str], message: str
) -> None:
    """A person must change it."""
    with pytest.raises(InvalidSpec) as caught:
        outputs(spec(pattern, artifacts), tree(*folders))
    assert message in caught.value.message


TWICE = [{"alias": "repo", "kind": "Bucket", "name": "a"}, {"alias": "repo", "kind": "Bucket", "name": "b"}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sources": TWICE}, "'repo' occurs twice"),
        ({"artifacts": [{"name": "x"}, {"name": "x"}]}, "'x' occurs twice"),
        ({"artifacts": [{"name": "x", "revision": "@none"}]}, "alias 'none'"),
        ({"artifacts": [{"name": "x", "originRevision": "@none"}]}, "alias 'none'"),
        ({"artifacts": [{"name": "x", "copy": [{"from": "@none/x", "to": "@artifact/"}]}]}, "alias 'none'"),
        ({"pattern": "@none/{app}"}, "alias 'none'"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], message: str) -> None:
    """Before anything is read."""
    check(spec())
    with pytest.raises(InvalidSpec) as caught:
        check(spec(**given))
    assert message in caught.value.message
