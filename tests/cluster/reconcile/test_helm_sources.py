"""HelmRepositories and HelmCharts: from a real chart repository, or a Git repository, to packages that helm renders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from fleetbeat.api.kinds import KINDS
from fleetbeat.kube.client import KubeClient
from fleetbeat.reconcile import gitrepository, helmchart, helmrepository
from fleetbeat.reconcile.context import Context
from tests.support.cosigned import public_pem
from tests.support.ociapp import OciApp
from tests.support.runs import Runs
from tools.chartserver import ChartServer, helm, write_chart
from tools.clusters import Cluster
from tools.gitserver import Access as Login
from tools.gitserver import GitServer
from tools.registry import RegistryServer
from workers.cli.connect import Access
from workers.up import prepare

pytestmark = pytest.mark.cluster

ACCOUNT = ("robot", "hunter2")
PIPELINES = {
    "HelmRepository": helmrepository.PIPELINE,
    "HelmChart": helmchart.PIPELINE,
    "GitRepository": gitrepository.PIPELINE,
}


class Helm(Runs):
    """Runs that go on until nothing is due."""

    def settle(self, *names: str) -> list[str]:
        """Ask for runs of `names`, then run whatever is due; the names in the order of their runs."""
        for name in names:
            self.request(name)
        ran: list[str] = []
        while now := self.run():
            ran += now
            assert len(ran) < 50, "resources wake each other for ever"
        return ran

    def file(self, name: str) -> Path:
        """The published artifact."""
        artifact = self.published(name)
        return self.ctx.store.get(artifact["key"], artifact["digest"])


@pytest.fixture
def charts(tmp_path: Path) -> Iterator[ChartServer]:
    """A chart repository with app 1.0.0 and 1.2.0."""
    with ChartServer(tmp_path / "served") as server:
        server.add("app", "1.0.0")
        server.add("app", "1.2.0", {"values-red.yaml": "colour: red\n"})
        yield server


@pytest.fixture
def sources(ctx: Context, client: KubeClient, namespace: str) -> Helm:
    """No resource yet."""
    return Helm(ctx, client, namespace, PIPELINES)


def repository(sources: Helm, charts: ChartServer, **spec: Any) -> str:
    """A HelmRepository that follows the server, not run yet."""
    sources.put("HelmRepository", "charts", **{"url": charts.url, **spec})
    return "charts"


def chart(sources: Helm, name: str = "app", kind: str = "HelmRepository", **spec: Any) -> str:
    """A HelmChart, not run yet."""
    base = {"chart": "app", "sourceRef": {"kind": kind, "name": "charts" if kind == "HelmRepository" else "git"}}
    sources.put("HelmChart", name, **{**base, **spec})
    return name


def rendered(sources: Helm, ref: str, tmp_path: Path) -> dict[str, Any]:
    """The values that helm itself renders the stored chart with."""
    package = shutil.copy(sources.file(ref), tmp_path / "chart.tgz")
    values: dict[str, Any] = json.loads(yaml.safe_load(helm("template", "x", package))["data"]["values"])
    return values


def shown(sources: Helm, ref: str, tmp_path: Path) -> dict[str, Any]:
    """Chart.yaml as helm shows it."""
    package = shutil.copy(sources.file(ref), tmp_path / "chart.tgz")
    found: dict[str, Any] = yaml.safe_load(helm("show", "chart", package))
    return found


def test_an_index_becomes_an_artifact(sources: Helm, charts: ChartServer) -> None:
    """The status has what Flux's has: revision, JSON in index-<hex>.yaml, and the stable link."""
    ref = repository(sources, charts)
    sources.settle()
    status = sources.status(ref)
    artifact = status["artifact"]
    assert artifact["revision"].startswith("sha256:")
    assert artifact["path"].endswith(f"/index-{artifact['revision'].removeprefix('sha256:')}.yaml")
    assert status["url"].endswith(f"helmrepository/{sources.namespace}/charts/index.yaml")
    assert sources.condition(ref)["reason"] == "Succeeded"
    assert [v["version"] for v in json.loads(sources.file(ref).read_bytes())["entries"]["app"]] == ["1.2.0", "1.0.0"]


def test_an_unchanged_index_is_not_sent_again(sources: Helm, charts: ChartServer) -> None:
    """The second look is a conditional request, and a new version wakes the chart that it is for."""
    ref, made = repository(sources, charts), chart(sources)
    sources.settle()
    sources.settle(ref)
    assert (charts.count("/index.yaml", 200), charts.count("/index.yaml", 304)) == (1, 1)
    assert sources.status(made)["artifact"]["revision"] == "1.2.0"
    charts.add("app", "1.3.0")
    ran = sources.settle(ref)
    assert made in ran
    assert sources.status(made)["artifact"]["revision"] == "1.3.0"


def test_a_chart_is_pulled_as_it_is(sources: Helm, charts: ChartServer, tmp_path: Path) -> None:
    """Its bytes are the server's, its status is Flux's, and helm renders it."""
    repository(sources, charts)
    ref = chart(sources, version="1.x")
    sources.settle()
    status = sources.status(ref)
    assert status["artifact"]["revision"] == "1.2.0"
    assert status["artifact"]["path"].endswith("/app-1.2.0.tgz")
    assert status["observedChartName"] == "app"
    assert status["observedSourceArtifactRevision"].startswith("sha256:")
    assert status["url"].endswith("/app/latest.tar.gz")
    ready = sources.condition(ref)
    said = (ready["status"], ready["reason"], ready["message"])
    assert said == ("True", "ChartPullSucceeded", "pulled 'app' chart with version '1.2.0'")
    assert sources.file(ref).read_bytes() == (charts.directory / "app-1.2.0.tgz").read_bytes()
    assert rendered(sources, ref, tmp_path) == {"colour": "blue"}


def test_a_chart_that_stands_is_not_downloaded_again(sources: Helm, charts: ChartServer) -> None:
    """Neither when asked, nor when its source moved without a version for it."""
    source, ref = repository(sources, charts), chart(sources, version="1.0.0")
    sources.settle()
    sources.settle(ref)
    charts.add("other", "9.0.0")
    assert ref in sources.settle(source)
    assert charts.count("/app-1.0.0.tgz") == 1
    assert sources.condition(ref)["message"] == "pulled 'app' chart with version '1.0.0'"
    assert sources.status(ref)["observedSourceArtifactRevision"] == sources.status(source)["artifact"]["revision"]


def test_values_files_make_another_version(sources: Helm, charts: ChartServer, tmp_path: Path) -> None:
    """The generation is in the version; what was merged is in the status and in what helm renders."""
    repository(sources, charts)
    ref = chart(sources, valuesFiles=["values.yaml", "values-red.yaml"])
    sources.settle()
    assert sources.status(ref)["artifact"]["revision"] == "1.2.0+1"
    assert sources.status(ref)["observedValuesFiles"] == ["values.yaml", "values-red.yaml"]
    assert sources.condition(ref)["reason"] == "ChartPackageSucceeded"
    assert rendered(sources, ref, tmp_path) == {"colour": "red"}
    chart(sources, valuesFiles=["values.yaml", "absent.yaml"], ignoreMissingValuesFiles=True)
    sources.settle()
    assert sources.status(ref)["artifact"]["revision"] == "1.2.0+2"
    assert sources.status(ref)["observedValuesFiles"] == ["values.yaml"]
    assert shown(sources, ref, tmp_path)["version"] == "1.2.0+2"


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"chart": "absent"}, "InvalidChartReference", "no chart 'absent'"),
        ({"version": "7.x"}, "InvalidChartReference", "the newest is 1.2.0"),
        ({"version": "seven"}, "InvalidChartReference", "spec.version 'seven' is not a range"),
        ({"valuesFiles": ["absent.yaml"]}, "ValuesFilesError", "does not exist; correct spec.valuesFiles, or set"),
    ],
)
def test_what_cannot_be_built_is_told(
    sources: Helm, charts: ChartServer, spec: dict[str, Any], reason: str, says: str
) -> None:
    """BuildFailed has the reason; the last good chart stays published; mended, the condition goes away."""
    repository(sources, charts)
    ref = chart(sources)
    sources.settle()
    good = sources.file(ref)
    chart(sources, **spec)
    sources.settle()
    for kind, value in (("Ready", "False"), ("BuildFailed", "True")):
        found = sources.condition(ref, kind)
        assert (found["status"], found["reason"]) == (value, reason)
        assert says in found["message"]
    assert sources.file(ref) == good
    chart(sources)
    sources.settle()
    assert sources.condition(ref)["status"] == "True"
    assert sources.condition(ref, "BuildFailed") == {}


def test_a_wrong_password_is_told_and_the_right_one_is_used(sources: Helm, charts: ChartServer) -> None:
    """AuthenticationFailed without a word of the password; the Secret's account asks for index and package."""
    charts.access = Login(basic=("me", "right"))
    sources.secret("login", username="me", password="wrong")
    source, ref = repository(sources, charts, secretRef={"name": "login"}), chart(sources)
    sources.settle()
    failed = sources.condition(source, "FetchFailed")
    assert (failed["status"], failed["reason"]) == ("True", "AuthenticationFailed")
    assert "wrong" not in failed["message"]
    assert sources.condition(ref).get("reason") in ("NoSourceArtifact", None)
    sources.secret("login", username="me", password="right")
    sources.settle(source)
    assert sources.status(ref)["artifact"]["revision"] == "1.2.0"


@pytest.mark.parametrize(
    ("index", "reason"), [(None, "Failed"), ("entries: [", "IndexationFailed")], ids=["missing", "malformed"]
)
def test_an_index_that_is_none_is_told_apart(
    sources: Helm, charts: ChartServer, index: str | None, reason: str
) -> None:
    """What cannot be fetched has another reason than what cannot be read."""
    file = charts.directory / "index.yaml"
    if index is None:
        file.unlink()
    else:
        file.write_text(index)
    name = repository(sources, charts)
    sources.settle(name)
    found = {kind: sources.condition(name, kind).get("reason") for kind in ("Ready", "FetchFailed")}
    assert found == {"Ready": reason, "FetchFailed": reason}
    assert [told for told, _ in sources.events()] == [reason]


def test_the_event_of_an_artifact_names_it(sources: Helm, charts: ChartServer) -> None:
    """Revision and digest stand under the group of the object, where whoever delivers events looks for them."""
    name = repository(sources, charts)
    sources.settle(name)
    artifact = sources.status(name)["artifact"]
    (event,) = sources.state.events_after(limit=1000)
    assert json.loads(event.data)["metadata"] == {
        "source.toolkit.fluxcd.io/revision": artifact["revision"],
        "source.toolkit.fluxcd.io/digest": artifact["digest"],
    }


def test_a_damaged_package_is_not_used(sources: Helm, charts: ChartServer) -> None:
    """The index's digest decides."""
    repository(sources, charts)
    ref = chart(sources)
    (charts.directory / "app-1.2.0.tgz").write_bytes((charts.directory / "app-1.0.0.tgz").read_bytes())
    sources.settle()
    assert sources.condition(ref, "BuildFailed")["reason"] == "ChartPullError"
    assert sources.published(ref) == {}


def test_a_chart_of_a_missing_source_waits(sources: Helm, charts: ChartServer) -> None:
    """It says which, and is built as soon as the source is there."""
    ref = chart(sources)
    sources.settle()
    failed = sources.condition(ref, "FetchFailed")
    assert (failed["status"], failed["reason"]) == ("True", "SourceUnavailable")
    repository(sources, charts)
    sources.settle()
    assert sources.condition(ref)["status"] == "True"
    assert sources.condition(ref, "FetchFailed") == {}


def test_a_chart_from_git_with_dependencies(
    sources: Helm, charts: ChartServer, git_server: GitServer, tmp_path: Path
) -> None:
    """Local and remote dependencies are added, values files are relative to the repository, helm renders all of it."""
    needs = [
        {"name": "lib", "version": "0.x.x", "repository": "file://../lib"},
        {"name": "app", "version": "~1.0.0", "repository": charts.url},
    ]
    write_chart(tmp_path / "git/deploy/web", "web", "0.1.0", {"prod.yaml": "colour: green\n"}, dependencies=needs)
    write_chart(tmp_path / "git/deploy/lib", "lib", "0.2.0")
    (tmp_path / "git/common.yaml").write_text("size: 3\n")
    repo = git_server.create(f"web-{sources.namespace}")
    files = {str(f.relative_to(tmp_path / "git")): f.read_text() for f in (tmp_path / "git").rglob("*") if f.is_file()}
    commit = repo.commit(files, "first")
    sources.put("GitRepository", "git", url=repo.url, ref={"branch": "main"})
    ref = chart(
        sources,
        kind="GitRepository",
        chart="./deploy/web",
        reconcileStrategy="Revision",
        valuesFiles=["deploy/web/values.yaml", "deploy/web/prod.yaml", "common.yaml"],
    )
    sources.settle()
    assert sources.condition(ref)["reason"] == "ChartPackageSucceeded", sources.condition(ref)
    assert sources.status(ref)["artifact"]["revision"] == f"0.1.0+{commit[:12]}.1"
    package = shutil.copy(sources.file(ref), tmp_path / "chart.tgz")
    maps = list(yaml.safe_load_all(helm("template", "x", package)))
    values = {one["metadata"]["name"]: json.loads(one["data"]["values"]) for one in maps}
    assert set(values) == {"x-web", "x-lib", "x-app"}
    assert (values["x-web"]["colour"], values["x-web"]["size"]) == ("green", 3)
    second = repo.commit({"README.md": "new"})
    sources.settle("git")
    assert sources.status(ref)["artifact"]["revision"] == f"0.1.0+{second[:12]}.1"
    assert sources.status(ref)["observedSourceArtifactRevision"] == f"main@sha1:{second}"


def test_a_chart_from_git_is_new_with_its_version_only(sources: Helm, git_server: GitServer, tmp_path: Path) -> None:
    """Strategy ChartVersion, the default: a commit that leaves the version alone leaves the artifact alone."""
    source = write_chart(tmp_path / "app", "app", "0.1.0")
    files = {f"app/{f.relative_to(source)}": f.read_text() for f in source.rglob("*") if f.is_file()}
    repo = git_server.create(f"plain-{sources.namespace}")
    repo.commit(files, "first")
    sources.put("GitRepository", "git", url=repo.url, ref={"branch": "main"})
    ref = chart(sources, kind="GitRepository", chart="app")
    sources.settle()
    before = sources.status(ref)["artifact"]
    repo.commit({"app/values.yaml": "colour: green\n"})
    assert ref in sources.settle("git")
    assert sources.status(ref)["artifact"] == before
    repo.commit({"app/Chart.yaml": files["app/Chart.yaml"].replace("0.1.0", "0.1.1")})
    sources.settle("git")
    assert sources.status(ref)["artifact"]["revision"] == "0.1.1"
    assert rendered(sources, ref, tmp_path) == {"colour": "green"}


def test_deleting_them_leaves_no_object_behind(sources: Helm, charts: ChartServer) -> None:
    """What a resource stored goes with it."""
    refs = [repository(sources, charts), chart(sources)]
    sources.settle()
    paths = [sources.status(ref)["artifact"]["path"] for ref in refs]
    for ref in refs:
        sources.delete(ref)
    sources.settle()
    assert [sources.ctx.store.find(path) for path in paths] == [None, None]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryServer]:
    """A registry that asks for a login, with app 1.0.0 and 1.1.0+build pushed by helm."""
    with RegistryServer(tmp_path / "registry", account=ACCOUNT) as server:
        for version in ("1.0.0", "1.1.0+build"):
            push(server, tmp_path, version)
        yield server


def push(server: RegistryServer, tmp_path: Path, version: str) -> None:
    """What `helm push` does with a chart of that version."""
    source = write_chart(tmp_path / "pushed", "app", version)
    helm("package", str(source), "--destination", str(tmp_path))
    login = ["--username", ACCOUNT[0], "--password", ACCOUNT[1]]
    helm("push", str(tmp_path / f"app-{version}.tgz"), f"oci://{server.host}/charts", "--plain-http", *login)


def registered(sources: Helm, server: RegistryServer, **spec: Any) -> None:
    """A HelmRepository of type oci as the hub has it: never registered, so found there."""
    sources.secret("login", username=ACCOUNT[0], password=ACCOUNT[1])
    base = {"type": "oci", "url": f"oci://{server.host}/charts", "insecure": True, "secretRef": {"name": "login"}}
    kind = KINDS["HelmRepository"]
    obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "charts"}, "spec": base | spec}
    sources.client.apply(kind.path(sources.namespace, "charts"), obj, "user")


@pytest.mark.parametrize("field", ["secretRef", "certSecretRef"])
def test_a_wrong_authority_is_told_with_its_secret(sources: Helm, charts: ChartServer, field: str) -> None:
    """Which Secret, and which field named it."""
    sources.secret("ca", ca_crt="no certificate")
    ref = repository(sources, charts, **{field: {"name": "ca"}})
    sources.settle()
    says = f"ca.crt of Secret {sources.namespace}/ca (spec.{field} of the HelmRepository) holds no PEM"
    assert says in sources.condition(ref)["message"]


def test_a_registry_without_its_type_is_told(sources: Helm, charts: ChartServer) -> None:
    """Which field to set, instead of what an index needs."""
    ref = repository(sources, charts, url="oci://registry.example/charts")
    sources.settle()
    found = sources.condition(ref)
    assert (found["reason"], sources.condition(ref, "Stalled")["status"]) == ("URLInvalid", "True")
    assert "set spec.type: oci" in found["message"]


@pytest.fixture
def kinds(cluster: Cluster) -> None:
    """The hub has Flux's kinds."""
    prepare(Access(cluster.kubeconfig, None, "flux-system"))


@pytest.mark.usefixtures("kinds")
def test_a_chart_from_a_registry(sources: Helm, registry: RegistryServer, tmp_path: Path) -> None:
    """The highest tag of the range, with + for _; a Docker configuration and a plain account both log in."""
    registered(sources, registry)
    ref = chart(sources, version=">=1.0.0")
    sources.settle()
    assert sources.status(ref)["artifact"]["revision"] == "1.1.0+build", sources.status(ref)
    assert sources.status(ref).get("observedSourceArtifactRevision") is None
    assert rendered(sources, ref, tmp_path) == {"colour": "blue"}
    auths = {registry.host: {"username": ACCOUNT[0], "password": ACCOUNT[1]}}
    sources.secret("login", _dockerconfigjson=json.dumps({"auths": auths}))
    push(registry, tmp_path, "1.2.0")
    sources.settle(ref)
    assert sources.status(ref)["artifact"]["revision"] == "1.2.0", sources.status(ref)


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"version": "3.x"}, "InvalidChartReference", "spec.version: no tag of"),
        ({"version": "3.0.0"}, "InvalidChartReference", "the registry has no chart 'app' of version 3.0.0 at oci://"),
        ({"chart": "absent"}, "InvalidChartReference", "spec.chart: the registry has no chart 'absent' at oci://"),
        ({"verify": {"provider": "cosign", "secretRef": {"name": "keys"}}}, "ChartVerificationError", "sign"),
    ],
)
def test_what_a_registry_does_not_have_is_told(
    sources: Helm, registry: RegistryServer, spec: dict[str, Any], reason: str, says: str
) -> None:
    """A missing tag, a missing repository, an unsigned chart: nothing is published."""
    registered(sources, registry)
    key = public_pem(ec.generate_private_key(ec.SECP256R1())).decode()
    sources.secret("keys", cosign_pub=key)
    ref = chart(sources, **spec)
    sources.settle()
    found = sources.condition(ref, "BuildFailed")
    assert (found.get("status"), found.get("reason")) == ("True", reason), sources.status(ref)
    assert says in found["message"]
    assert "spec.ref" not in found["message"]
    assert sources.published(ref) == {}
    if "verify" in spec:
        assert sources.condition(ref, "SourceVerified")["status"] == "False"


@pytest.mark.usefixtures("kinds")
def test_a_signed_chart_is_used_and_a_changed_key_takes_effect(
    sources: Helm, registry: RegistryServer, tmp_path: Path
) -> None:
    """What is signed by the key is pulled; a version without signature leaves the good one in place."""
    registered(sources, registry)
    key, app = ec.generate_private_key(ec.SECP256R1()), OciApp(registry, "charts/app")
    app.sign(app.tagged("1.0.0"), key)
    sources.secret("keys", cosign_pub=public_pem(key).decode())
    verify = {"provider": "cosign", "secretRef": {"name": "keys"}}
    ref = chart(sources, version="1.0.0", verify=verify)
    sources.settle()
    assert sources.condition(ref)["status"] == "True", sources.status(ref)
    assert sources.condition(ref, "SourceVerified")["status"] == "True"
    good = sources.published(ref)
    sources.settle(ref)
    assert (sources.published(ref), sources.condition(ref, "SourceVerified")["status"]) == (good, "True")
    other = ec.generate_private_key(ec.SECP256R1())
    sources.secret("keys", cosign_pub=public_pem(other).decode())
    sources.settle(ref)
    assert sources.condition(ref)["reason"] == "ChartVerificationError"
    assert (sources.published(ref), sources.condition(ref, "SourceVerified")["status"]) == (good, "False")
    app.sign(app.tagged("1.0.0"), other)
    sources.settle(ref)
    assert sources.condition(ref, "SourceVerified")["status"] == "True"


def test_an_index_may_lead_to_a_registry(sources: Helm, charts: ChartServer, tmp_path: Path) -> None:
    """Some repositories keep their index and have moved the packages; over plain HTTP that is refused."""
    index = charts.directory / "index.yaml"
    index.write_text(index.read_text().replace("- app-1.2.0.tgz", "- oci://127.0.0.1:1/charts/app:1.2.0"))
    repository(sources, charts)
    ref = chart(sources)
    sources.settle()
    found = sources.condition(ref, "BuildFailed")
    assert found["reason"] == "ChartPullError"
    assert "127.0.0.1:1" in found["message"]


@pytest.mark.usefixtures("kinds")
def test_dependencies_log_in_as_the_helm_repository_of_their_url(
    sources: Helm, charts: ChartServer, registry: RegistryServer, git_server: GitServer, tmp_path: Path
) -> None:
    """Of the same namespace; without one the repository is asked as nobody, and refuses."""
    charts.access = Login(basic=("me", "right"))
    needs = [
        {"name": "app", "version": "1.x", "repository": charts.url},
        {"name": "app", "version": "1.0.0", "repository": f"oci://{registry.host}/charts", "alias": "second"},
    ]
    source = write_chart(tmp_path / "web", "web", "0.1.0", dependencies=needs)
    repo = git_server.create(f"needs-{sources.namespace}")
    repo.commit({f"web/{f.relative_to(source)}": f.read_text() for f in source.rglob("*") if f.is_file()}, "first")
    sources.put("GitRepository", "git", url=repo.url, ref={"branch": "main"})
    ref = chart(sources, "web", "GitRepository", chart="web")
    sources.settle()
    found = sources.condition(ref)
    assert found["reason"] == "DependencyBuildError"
    assert "dependency app" in found["message"]
    registered(sources, registry)
    sources.secret("http", username="me", password="right")
    kind = KINDS["HelmRepository"]
    spec = {"url": f"{charts.url}/", "secretRef": {"name": "http"}}
    obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "http"}, "spec": spec}
    sources.client.apply(kind.path(sources.namespace, "http"), obj, "user")
    sources.settle(ref)
    assert sources.condition(ref)["reason"] == "ChartPackageSucceeded", sources.condition(ref)
    package = shutil.copy(sources.file(ref), tmp_path / "chart.tgz")
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(helm("template", "x", package))]
    assert sorted(names) == ["x-app", "x-second", "x-web"]


def test_what_a_url_asks_with_is_not_told(sources: Helm, charts: ChartServer) -> None:
    """A query may be as good as a password; neither events nor the status show it."""
    name = repository(sources, charts, url=f"{charts.url}?sig=hush")
    sources.settle(name)
    assert sources.condition(name)["status"] == "True"
    told = [message for reason, message in sources.events() if reason == "NewArtifact"]
    assert told
    assert "hush" not in json.dumps([told, sources.status(name)])
