"""GitRepositories with signatures, submodules and includes: what the pipeline tells, keeps and wakes."""

from __future__ import annotations

import json
import tarfile
import uuid
from typing import Any

import pytest

from fleetbeat.api.meta import LINKS_KEY
from fleetbeat.artifacts.store import Source
from tests.support import signing
from tests.support.hostile import add_blob, add_tree, commit_tree
from tests.support.signing import SshSigner
from tests.support.sources import Sources
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer

pytestmark = pytest.mark.cluster

VERIFY = {"secretRef": {"name": "keys"}, "mode": "HEAD"}


@pytest.fixture
def signer(sources: Sources) -> SshSigner:
    """Somebody whose key the Secret `keys` trusts."""
    made = SshSigner.make()
    sources.secret("keys", **{"a.sshpub": made.public.decode()})
    return made


@pytest.fixture
def repo(git_server: GitServer) -> GitRepo:
    """A repository with one unsigned commit."""
    made = git_server.create(f"r-{uuid.uuid4().hex[:8]}")
    made.commit({"a.yaml": "a: 1\n"}, "first")
    return made


def conditions(sources: Sources, name: str = "a") -> dict[str, tuple[str, str]]:
    """type → (status, reason)."""
    return {c["type"]: (c["status"], c["reason"]) for c in sources.status(name)["conditions"]}


def message(sources: Sources, condition: str, name: str = "a") -> str:
    return next(str(c["message"]) for c in sources.status(name)["conditions"] if c["type"] == condition)


def files(sources: Sources, name: str = "a") -> dict[str, bytes]:
    """The content of the stored artifact."""
    source = Source("GitRepository", sources.namespace, name, f"uid-{name}")
    artifact = sources.status(name)["artifact"]
    key = sources.ctx.store.key(source, artifact["path"].rpartition("/")[2], artifact["digest"])
    with tarfile.open(sources.ctx.store.get(key, artifact["digest"])) as tar:
        opened = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
        return {path: file.read() for path, file in opened.items() if file is not None}


def change(sources: Sources, name: str, **spec: Any) -> None:
    """A new generation."""
    obj = sources.objects[name]
    obj["spec"] |= spec
    obj["metadata"]["generation"] += 1
    sources.register(name)


def reasons(sources: Sources) -> list[str]:
    """Of all events so far."""
    return [json.loads(event.data)["reason"] for event in sources.state.events_after()]


# Signatures


def test_a_signed_commit_is_taken_and_an_unsigned_one_is_not(
    sources: Sources, repo: GitRepo, signer: SshSigner
) -> None:
    """The last verified artifact stays, the condition tells why, and a signed commit heals it."""
    good = signing.sign_head(repo, signer)
    sources.put("a", repo.url, verify=VERIFY)
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("True", "Succeeded")
    assert signer.fingerprint in message(sources, "SourceVerified")
    assert sources.status("a")["sourceVerificationMode"] == "HEAD"
    repo.commit({"a.yaml": "a: evil\n"})
    sources.request("a")
    sources.run()
    assert conditions(sources) == {
        "Ready": ("False", "InvalidCommitSignature"),
        "Reconciling": ("True", "ProgressingWithRetry"),
        "ArtifactInStorage": ("True", "Succeeded"),
        "SourceVerified": ("False", "InvalidCommitSignature"),
    }
    assert sources.revision("a") == f"main@sha1:{good}"
    assert files(sources) == {"a.yaml": b"a: 1\n"}
    assert "InvalidCommitSignature" in reasons(sources)
    head = signing.sign_head(repo, signer)
    sources.request("a")
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("True", "Succeeded")
    assert sources.revision("a") == f"main@sha1:{head}"


def test_a_removed_key_fails_the_next_run(sources: Sources, repo: GitRepo, signer: SshSigner) -> None:
    """Also of a commit that was verified before; when the key comes back, all is well again."""
    signing.sign_head(repo, signer)
    sources.put("a", repo.url, verify=VERIFY)
    sources.run()
    sources.secret("keys", **{"a.sshpub": SshSigner.make().public.decode()})
    assert sources.sweep().poked == (sources.ref("a"),)
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("False", "InvalidCommitSignature")
    assert conditions(sources)["ArtifactInStorage"][0] == "True"
    sources.secret("keys", **{"a.sshpub": signer.public.decode()})
    sources.request("a")
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("True", "Succeeded")
    assert signer.fingerprint in message(sources, "SourceVerified")


def test_verification_that_is_asked_for_later(sources: Sources, repo: GitRepo, signer: SshSigner) -> None:
    """The artifact of an unsigned commit does not pass; a signed one gets no second artifact."""
    sources.put("a", repo.url)
    sources.run()
    change(sources, "a", verify=VERIFY)
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("False", "InvalidCommitSignature")
    assert "sourceVerificationMode" not in sources.status("a")
    change(sources, "a", verify=None)
    sources.run()
    assert "SourceVerified" not in conditions(sources)
    signing.sign_head(repo, signer)
    sources.request("a")
    sources.run()
    before = sources.status("a")["artifact"]
    change(sources, "a", verify=VERIFY)
    sources.run()
    assert sources.status("a")["artifact"] == before
    assert conditions(sources)["SourceVerified"] == ("True", "Succeeded")


def test_a_mode_that_does_not_fit(sources: Sources, repo: GitRepo, signer: SshSigner) -> None:
    """A person must change the spec, so the resource is stalled."""
    sources.put("a", repo.url, verify=VERIFY | {"mode": "Tag"})
    sources.run()
    assert conditions(sources) == {
        "Ready": ("False", "InvalidVerificationMode"),
        "Stalled": ("True", "InvalidVerificationMode"),
        "SourceVerified": ("False", "InvalidVerificationMode"),
    }


@pytest.mark.parametrize("data", [None, {}, {"a.asc": "nonsense"}])
def test_without_usable_keys(sources: Sources, repo: GitRepo, data: dict[str, str] | None) -> None:
    """A Secret that is missing, empty or of no use verifies nothing."""
    if data is not None:
        sources.secret("keys", **data)
    sources.put("a", repo.url, verify=VERIFY)
    sources.run()
    assert conditions(sources)["SourceVerified"] == ("False", "VerificationError")
    assert f"{sources.namespace}/keys" in message(sources, "Ready")
    assert "artifact" not in sources.status("a")


def test_each_source_verifies_for_itself(sources: Sources, repo: GitRepo, signer: SshSigner) -> None:
    """Mirror and shelf are shared, the verdict is not."""
    signing.sign_head(repo, signer)
    sources.secret("others", **{"b.sshpub": SshSigner.make().public.decode()})
    sources.put("a", repo.url, verify=VERIFY)
    sources.put("b", repo.url, verify={"secretRef": {"name": "others"}, "mode": "HEAD"})
    sources.put("c", repo.url)
    sources.run()
    found = {name: conditions(sources, name).get("SourceVerified", ("", ""))[0] for name in "abc"}
    assert found == {"a": "True", "b": "False", "c": ""}
    assert "artifact" not in sources.status("b")


# Includes


@pytest.fixture
def other(git_server: GitServer) -> GitRepo:
    """A repository to include."""
    made = git_server.create(f"o-{uuid.uuid4().hex[:8]}")
    made.commit({"lib/o.yaml": "o: 1\n", "x": "1"})
    return made


def entry(name: str, **fields: str) -> dict[str, Any]:
    return {"repository": {"name": name}, **fields}


def test_an_included_source_is_waited_for(sources: Sources, repo: GitRepo, other: GitRepo) -> None:
    """It need not exist yet; when it publishes, it wakes those that include it."""
    sources.put("a", repo.url, include=[entry("b", fromPath="lib", toPath="libs/b")])
    sources.run()
    assert conditions(sources)["IncludeUnavailable"] == ("True", "NotFound")
    assert conditions(sources)["Ready"] == ("False", "NotFound")
    sources.put("b", other.url)
    assert list(sources.run()) == ["b"]
    assert list(sources.run()) == ["a"]
    status = sources.status("a")
    assert set(conditions(sources)) == {"Ready", "ArtifactInStorage"}
    assert files(sources) == {"a.yaml": b"a: 1\n", "libs/b/o.yaml": b"o: 1\n"}
    assert status["includedArtifacts"] == [sources.status("b")["artifact"]]
    assert status["observedInclude"] == [entry("b", fromPath="lib", toPath="libs/b")]


def test_a_source_without_artifact(sources: Sources, repo: GitRepo) -> None:
    """It is there, but has nothing to give."""
    sources.put("b", "http://127.0.0.1:1/nothing")
    sources.put("a", repo.url, include=[entry("b")])
    sources.run()
    assert conditions(sources)["IncludeUnavailable"] == ("True", "NoArtifact")


def test_a_changed_include_makes_a_new_artifact(sources: Sources, repo: GitRepo, other: GitRepo) -> None:
    """Of the same commit; sweeps settle both while nothing moves."""
    sources.put("b", other.url)
    sources.run()
    sources.put("a", repo.url, include=[entry("b")])
    sources.run()
    first = sources.status("a")["artifact"]
    assert sources.sweep().unchanged == 2
    other.commit({"x": "2"})
    sources.request("b")
    sources.run()
    assert list(sources.run()) == ["a"]
    second = sources.status("a")["artifact"]
    assert (second["revision"], second["digest"] != first["digest"]) == (first["revision"], True)
    assert files(sources)["b/x"] == b"2"
    change(sources, "a", include=[])
    sources.run()
    assert {"includedArtifacts", "observedInclude"} & set(sources.status("a")) == set()
    assert files(sources) == {"a.yaml": b"a: 1\n"}


def test_an_include_that_stops_fitting(sources: Sources, repo: GitRepo, other: GitRepo) -> None:
    """The artifact stays and is said to be outdated."""
    sources.put("b", other.url)
    sources.run()
    sources.put("a", repo.url, include=[entry("b", fromPath="lib")])
    sources.run()
    other.commit({"lib/o.yaml": None})
    sources.request("b")
    sources.run()
    sources.run()
    assert conditions(sources) == {
        "Ready": ("False", "CopyFailure"),
        "Reconciling": ("True", "ProgressingWithRetry"),
        "ArtifactInStorage": ("True", "Succeeded"),
        "ArtifactOutdated": ("True", "IncludeChange"),
        "StorageOperationFailed": ("True", "CopyFailure"),
    }
    assert files(sources) == {"a.yaml": b"a: 1\n", "b/o.yaml": b"o: 1\n"}


def test_a_source_does_not_include_itself(sources: Sources, repo: GitRepo) -> None:
    """Neither directly, which is a mistake in the spec, nor through others."""
    sources.put("a", repo.url, include=[entry("a")])
    sources.run()
    assert conditions(sources)["Stalled"] == ("True", "ValidationFailed")


def test_sources_that_include_each_other(sources: Sources, repo: GitRepo, other: GitRepo) -> None:
    """What would grow for ever is refused and keeps its artifact; what comes to rest is fine."""
    sources.put("a", repo.url)
    sources.put("b", other.url)
    sources.run()
    change(sources, "b", include=[entry("a", fromPath="up", toPath="up")])
    change(sources, "a", include=[entry("b")])
    sources.run()
    repo.commit({"up/u.yaml": "u: 1\n"})
    change(sources, "a", include=[entry("b", fromPath="lib", toPath="down")])
    while sources.run():
        pass
    assert (conditions(sources, "a")["Ready"][0], conditions(sources, "b")["Ready"][0]) == ("True", "True")
    assert files(sources, "b")["up/u.yaml"] == b"u: 1\n"
    assert files(sources, "a")["down/o.yaml"] == b"o: 1\n"
    change(sources, "b", include=[entry("a", toPath="lib/a")])
    ran = 0
    while sources.run():
        ran += 1
        assert ran < 10
    assert conditions(sources, "b")["IncludeUnavailable"] == ("True", "IncludeCycle")
    assert "b includes a includes b" in message(sources, "Ready", "b")
    assert files(sources, "b")["up/u.yaml"] == b"u: 1\n"


# Submodules and what is left out


def test_submodules_are_told_in_the_status(sources: Sources, repo: GitRepo, other: GitRepo) -> None:
    """Switched on and off, each time another artifact of the same commit."""
    text = f'[submodule "m"]\n\tpath = m\n\turl = ../{other.path.name}\n'
    modules = (b"100644", b".gitmodules", add_blob(repo, text.encode()))
    commit_tree(repo, add_tree(repo, modules, (b"160000", b"m", other.head())))
    sources.put("a", repo.url, recurseSubmodules=True)
    sources.run()
    assert sources.status("a")["observedRecurseSubmodules"] is True
    assert set(files(sources)) == {"m/lib/o.yaml", "m/x"}
    assert sources.sweep().unchanged == 1
    change(sources, "a", recurseSubmodules=False)
    sources.run()
    assert "observedRecurseSubmodules" not in sources.status("a")
    assert files(sources) == {}
    assert "EntriesLeftOut" in reasons(sources)


def test_links_are_told_to_whoever_builds(sources: Sources, repo: GitRepo) -> None:
    """In the artifact's metadata, so that a build that misses one can say why."""
    repo.commit({"a.yaml": "a: 1\n", "b.yaml": "a.yaml"}, modes={"b.yaml": 0o120000})
    sources.put("a", repo.url)
    sources.run()
    assert sources.status("a")["artifact"]["metadata"][LINKS_KEY] == "b.yaml"


def test_lfs_pointers_are_an_event(sources: Sources, repo: GitRepo) -> None:
    """A warning, besides the artifact."""
    repo.commit({"m.bin": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n"})
    sources.put("a", repo.url)
    sources.run()
    assert conditions(sources)["Ready"][0] == "True"
    assert "GitLFSNotSupported" in reasons(sources)
