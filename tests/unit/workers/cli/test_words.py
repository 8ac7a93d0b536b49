"""The words of the command line mean what they mean to flux and kubectl."""

from __future__ import annotations

import pytest

from fleetbeat.api.refs import Ref
from fleetbeat.errors import CommandFailed
from workers.cli.words import ORDER, parse, parse_one

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("words", "kinds", "names"),
    [
        ("ks", ["Kustomization"], []),
        ("kustomization apps", ["Kustomization"], ["apps"]),
        ("Kustomizations apps infra", ["Kustomization"], ["apps", "infra"]),
        ("ks,gitrepo", ["Kustomization", "GitRepository"], []),
        ("source git", ["GitRepository"], []),
        ("sources git apps", ["GitRepository"], ["apps"]),
        ("source gitrepositories", None, []),
        ("images policies", ["ImagePolicy"], []),
        ("image all", ["ImageRepository", "ImagePolicy", "ImageUpdateAutomation"], []),
        ("alert-providers", ["Provider"], []),
        ("hr", ["HelmRelease"], []),
        ("artifact generators", ["ArtifactGenerator"], []),
        ("ks/apps", ["Kustomization"], ["apps"]),
        ("ks/apps kustomization/infra", ["Kustomization"], ["apps", "infra"]),
        ("all", list(ORDER), []),
        ("", list(ORDER), []),
    ],
)
def test_words_name_kinds_and_objects(words: str, kinds: list[str] | None, names: list[str]) -> None:
    """Kinds by any of their names, then names of objects."""
    if kinds is None:
        with pytest.raises(CommandFailed):
            parse(words.split())
        return
    selection = parse(words.split())
    assert [kind.name for kind in selection.kinds] == kinds
    assert list(selection.names) == names


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("kustomizatoin", "did you mean kustomization"),
        ("nonsense", "the kinds are gitrepo, .* ks, hr,"),
        ("source gti", "use one of git, oci"),
        ("all apps", "takes no names"),
        ("ks,hr apps", "write KIND/NAME"),
        ("ks/apps hr/apps", "of one kind"),
        ("ks/a/b/c", "KIND/NAMESPACE/NAME"),
        ("ks apps/web", "not a name"),
    ],
)
def test_bad_words_name_the_fix(words: str, says: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(CommandFailed, match=says):
        parse(words.split())


@pytest.mark.parametrize(
    "words", ["ks apps", "kustomization/apps", "ks/flux-system/apps", "Kustomization/flux-system/apps"]
)
def test_one_object_can_be_named_in_each_way(words: str) -> None:
    """Short name, slash and the full ref are the same object."""
    kind, ref = parse_one(words.split(), "flux-system")
    assert (kind.name, ref) == ("Kustomization", Ref("Kustomization", "flux-system", "apps"))


def test_a_full_ref_wins_over_the_namespace_option() -> None:
    """What the word says is nearer than -n."""
    assert parse_one(["ks/team/apps"], "flux-system")[1].namespace == "team"


@pytest.mark.parametrize("words", ["ks", "ks a b", "all"])
def test_commands_for_one_object_refuse_more(words: str) -> None:
    """reconcile, tree and explain need exactly one."""
    with pytest.raises(CommandFailed, match="exactly one"):
        parse_one(words.split(), "flux-system")
