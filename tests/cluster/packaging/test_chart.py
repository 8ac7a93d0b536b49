"""The chart renders what an operator asks for, refuses what makes no sense, and real API servers accept it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.api.kinds import KINDS
from tests.support.chart import CHART, NAMESPACE, ChartRefused, Release
from tests.support.image import ROOT, dockerfile, dockerfile_env
from tests.support.wait import until
from tools.apiclient import ApiError
from tools.clusters import Cluster
from workers.roles import ROLES

pytestmark = pytest.mark.cluster

EVERYTHING = (
    's3.endpoint="https://s3.example.org"',
    's3.prefix="hub"',
    'image.tag="1.2.3"',
    'imagePullSecrets=[{"name": "registry"}]',
    'ownedKinds=["GitRepository"]',
    'defaultServiceAccount="tenant"',
    "noCrossNamespaceRefs=true",
    "strictSubstitution=false",
    'customApplyStageKinds=["apps/Deployment", "Secret"]',
    'overrideManagers=["dashboard", "Lens"]',
    "sourceServiceAccountTokens=true",
    'defaultSourceServiceAccount="sources"',
    'logLevel="DEBUG"',
    'flower.existingSecret="flower"',
    'scratchSize="1Gi"',
    'extraEnv=[{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]',
    'extraVolumes=[{"name": "authorities", "configMap": {"name": "authorities"}}]',
    'extraVolumeMounts=[{"name": "authorities", "mountPath": "/etc/fleetbeat/authorities", "readOnly": true}]',
    'nodeSelector={"kubernetes.io/os": "linux"}',
    'tolerations=[{"key": "dedicated", "operator": "Exists"}]',
    'affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}',
    'podAnnotations={"example.org/scrape": "false"}',
    'podLabels={"azure.workload.identity/use": "true"}',
    'roles.source={"replicas": 0, "concurrency": 9, "resources": {}}',
    'roles.web.serviceAccountAnnotations={"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/s3"}',
)
VARIANTS = {
    "defaults": (),
    "everything": EVERYTHING,
    "aws": ('s3.existingSecret=""',),
    "tenants": ("clusterAdmin=false",),
}
STORE_KEYS = {"FLEETBEAT_S3_ACCESS_KEY", "FLEETBEAT_S3_SECRET_KEY"}


@pytest.fixture(scope="module")
def defaults() -> Release:
    """The chart with no values at all."""
    return Release.render()


def test_every_role_is_a_deployment_under_its_own_account(defaults: Release) -> None:
    """The image's entry point and the arguments make `fleetbeat start ROLE`, as the role's own service account."""
    assert set(defaults.pods()) == set(ROLES)
    assert dockerfile("ENTRYPOINT")[-1] == "fleetbeat"
    for role, pod in defaults.pods().items():
        assert defaults.container(role)["args"] == ["start", role]
        assert pod["serviceAccountName"] in defaults.of("ServiceAccount")
    assert len({pod["serviceAccountName"] for pod in defaults.pods().values()}) == len(ROLES)


def test_the_containers_are_restricted(defaults: Release) -> None:
    """Every Pod meets Kubernetes' `restricted` level, with a root file system that it cannot write."""
    for role, pod in defaults.pods().items():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        context = defaults.container(role)["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_all_that_is_written_lies_on_the_scratch_volume(defaults: Release) -> None:
    """Home and caches of the image are under the only mount that can be written."""
    for role in ROLES:
        assert defaults.container(role)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    for name in ("HOME", "FLEETBEAT_CACHE_DIR"):
        assert Path(dockerfile_env()[name]).is_relative_to("/tmp")


def test_credentials_reach_only_the_roles_that_need_them(defaults: Release) -> None:
    """Keys of the store go to those who read or write artifacts; a token of the API server to none but its callers."""
    for role, pod in defaults.pods().items():
        names = {variable["name"] for variable in defaults.container(role)["env"]}
        assert (names >= STORE_KEYS) == (role in ("source", "apply", "web")), role
        assert pod["automountServiceAccountToken"] is (role not in ("beat", "flower"))


def test_without_a_secret_the_store_is_reached_by_the_pods_identity() -> None:
    """No keys are asked for, so that boto finds the role of the account."""
    release = Release.render(*VARIANTS["aws"])
    assert "S3_ACCESS_KEY" not in json.dumps(release.objects)


def test_values_reach_their_places() -> None:
    """Settings of values.yaml end where Kubernetes and the roles read them."""
    release = Release.render(*EVERYTHING)
    source = release.container("source")
    env = {variable["name"]: variable.get("value") for variable in source["env"]}
    assert source["image"].endswith(":1.2.3")
    assert env["FLEETBEAT_S3_ENDPOINT"] == "https://s3.example.org"
    assert env["FLEETBEAT_S3_PREFIX"] == "hub"
    assert env["FLEETBEAT_SOURCE_CONCURRENCY"] == "9"
    assert env["FLEETBEAT_OWNED_KINDS"] == "GitRepository"
    assert env["FLEETBEAT_NO_CROSS_NAMESPACE_REFS"] == "true"
    assert env["FLEETBEAT_STRICT_SUBSTITUTION"] == "false"
    assert env["FLEETBEAT_DEFAULT_SERVICE_ACCOUNT"] == "tenant"
    assert env["FLEETBEAT_DEFAULT_SOURCE_SERVICE_ACCOUNT"] == "sources"
    assert env["HTTPS_PROXY"] == "http://proxy:3128"
    for role, pod in release.pods().items():
        assert {"name": "authorities", "configMap": {"name": "authorities"}} in pod["volumes"]
        assert release.container(role)["volumeMounts"][1]["mountPath"] == "/etc/fleetbeat/authorities"
        labels = release.of("Deployment")[f"fleetbeat-{role}"]["spec"]["template"]["metadata"]["labels"]
        assert (labels["azure.workload.identity/use"], labels["app.kubernetes.io/component"]) == ("true", role)
    assert release.of("Deployment")["fleetbeat-source"]["spec"]["replicas"] == 0
    assert release.of("ServiceAccount")["fleetbeat-web"]["metadata"]["annotations"]
    assert "fleetbeat-flower" in release.of("Service")
    assert "readinessProbe" in release.container("flower")


def test_without_cluster_admin_apply_may_act_as_service_accounts_alone() -> None:
    """No binding to cluster-admin, no impersonation of users or groups, writes in the ledgers' namespace only."""
    release = Release.render("clusterAdmin=false")
    assert "cluster-admin" not in {b["roleRef"]["name"] for b in release.of("ClusterRoleBinding").values()}
    rules = [rule for role in release.of("ClusterRole").values() for rule in role["rules"]]
    assert [rule["resources"] for rule in rules if "impersonate" in rule["verbs"]] == [["serviceaccounts"]]
    verbs = {
        tuple(rule["resources"]): set(rule["verbs"]) for rule in release.of("ClusterRole")["fleetbeat-apply"]["rules"]
    }
    tokens = verbs.pop(("serviceaccounts/token",))
    assert tokens == {"create"}, "no more than acting as a service account is"
    assert set().union(*verbs.values()) == {"get", "list", "impersonate"}
    assert len(release.of("ClusterRole")["fleetbeat-observer"]["rules"]) == 1, "it asks for no tokens"
    assert release.of("Role")["fleetbeat-ledgers"]["metadata"]["namespace"] == NAMESPACE


def test_sources_get_tokens_of_service_accounts_where_it_is_asked_for_alone() -> None:
    """They open what these accounts may do."""
    kept, given = Release.render(), Release.render("sourceServiceAccountTokens=true")
    names = {name for name in given.of("ClusterRole") if name not in kept.of("ClusterRole")}
    assert names == {"fleetbeat-source-tokens"}
    (rule,) = given.of("ClusterRole")["fleetbeat-source-tokens"]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
    binding = given.of("ClusterRoleBinding")["fleetbeat-source-tokens"]
    assert [subject["name"] for subject in binding["subjects"]] == ["fleetbeat-source"]


def test_without_cluster_admin_another_namespace_is_refused() -> None:
    """Ledgers are kept in `fleetbeat-system`, and rights to them exist in the release's namespace alone."""
    with pytest.raises(ChartRefused, match="install into the namespace fleetbeat-system"):
        Release.render("clusterAdmin=false", namespace="elsewhere")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('image.pullPolicy="Sometimes"', "image/pullPolicy"),
        ('image.repository=""', "image/repository"),
        ('redis.existingSecret=""', "redis/existingSecret"),
        ('redis.existingSecret="Not A Name"', "redis/existingSecret"),
        ('redis.url="redis://x"', "redis"),
        ('s3.endpoint="minio:9000"', "s3/endpoint"),
        ('s3.bucket="x"', "s3/bucket"),
        ('ownedKinds=["Kustomisation"]', "ownedKinds"),
        ("ownedKinds=[]", "ownedKinds"),
        ('ownedKinds="GitRepository"', "ownedKinds"),
        ('clusterAdmin="no"', "clusterAdmin"),
        ('logLevel="LOUD"', "logLevel"),
        ("roles.apply.concurrency=0", "roles/apply/concurrency"),
        ("roles.hub.concurrency=2", "roles/hub"),
        ("roles.hub.replicas=-1", "roles/hub/replicas"),
        ('roles.worker={"replicas": 1}', "roles"),
        ('roles.hub.resources={"memory": "1Gi"}', "roles/hub/resources"),
        ('scratchSize="much"', "scratchSize"),
        ('extraEnv=["A=b"]', "extraEnv"),
        ('extraVolumes=[{"name": "tmp", "emptyDir": {}}]', "extraVolumes"),
        ('extraVolumeMounts=[{"name": "authorities"}]', "extraVolumeMounts"),
        ("replicas=3", "replicas"),
    ],
)
def test_wrong_values_are_refused_by_name(setting: str, named: str) -> None:
    """Helm names the value before anything is rendered."""
    with pytest.raises(ChartRefused, match=re.escape(named)):
        Release.render(setting)


def test_the_schema_knows_every_kind() -> None:
    """What may be owned is what the API has."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["ownedKinds"]["items"]["enum"] == sorted(KINDS)


def test_the_chart_carries_the_definitions(cluster: Cluster) -> None:
    """All kinds are installed with the chart, as an API server accepts them."""
    release = Release.render(crds=True)
    definitions = release.of("CustomResourceDefinition")
    assert set(definitions) == {f"{kind.plural}.{kind.group}" for kind in KINDS.values()}
    Release(list(definitions.values())).apply(cluster, dry_run=True)  # they are shared with other tests


@pytest.mark.parametrize("file", ["charts", "compose.yaml", "Dockerfile"])
def test_only_variables_that_exist_are_set(file: str) -> None:
    """A variable that no role reads would be a setting without effect."""
    pattern = re.compile(r"FLEETBEAT_[A-Z0-9_]*[A-Z0-9]")
    code = "\n".join(one.read_text() for top in ("fleetbeat", "workers") for one in (ROOT / top).rglob("*.py"))
    path = ROOT / file
    files = list(path.rglob("templates/*")) if path.is_dir() else [path]
    text = "\n".join(one.read_text() for one in files).replace("{{ upper $role }}", "APPLY")
    names = set(pattern.findall(text)) - {"FLEETBEAT_USER"}
    assert names
    assert names <= set(pattern.findall(code))


@pytest.fixture
def installed(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Release]:
    """A variant of the chart on the cluster, under a name of its own."""
    _ensure_namespace(cluster)
    release = Release.render(*VARIANTS[request.param], name=f"fb-{uuid.uuid4().hex[:6]}")
    release.apply(cluster)
    yield release
    release.delete(cluster)


@pytest.mark.parametrize("installed", VARIANTS, indirect=True)
def test_every_object_is_accepted_by_an_api_server(installed: Release, cluster: Cluster) -> None:
    """Server-side apply with strict validation, and the accounts have the rights that the chart gives them."""
    (account,) = [name for name in installed.of("ServiceAccount") if name.endswith("-hub")]
    user = f"system:serviceaccount:{NAMESPACE}:{account}"
    until(lambda: _may(cluster, user, "watch", "", "secrets"))
    until(lambda: _may(cluster, user, "patch", "kustomize.toolkit.fluxcd.io", "kustomizations", "status"))
    assert not _may(cluster, user, "create", "", "configmaps")


def test_the_values_file_explains_every_value() -> None:
    """Every value has a place in the schema, and every value of the schema a default."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}


def _ensure_namespace(cluster: Cluster) -> None:
    try:
        cluster.create_namespace(NAMESPACE)
    except ApiError as error:
        if error.status != 409:
            raise


def _may(cluster: Cluster, user: str, verb: str, group: str, resource: str, subresource: str = "") -> bool:
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    review: dict[str, Any] = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = cluster.api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
