"""`make demo`: a fleet of three clusters converging on a Git repository, on this machine, for everybody to watch.

Owns the story and its checks: each step does something that happens in real life, waits until the clusters themselves
show the effect, and notes how long that took. The exit code is 0 only when every step was seen to work. All parts are
real: API servers, Git over HTTP, Redis, S3, and every role of Fleetbeat as its own process.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import urllib3
import yaml
from rich.console import Console

from tools.apiclient import ApiError
from tools.clusters import Cluster, ClusterSet
from tools.demo_view import Seen, View
from tools.gitrepo import GitRepo
from tools.gitserver import GitServer
from workers.cli.connect import Access
from workers.cli.options import UpOptions
from workers.stack import Stack
from workers.up import prepare, root_objects

EXAMPLE = Path(__file__).parent.parent / "examples" / "fleet"
NAMESPACE = "flux-system"
KUSTOMIZATIONS = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
RECEIVER = f"/apis/notification.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/receivers/push"


class DemoFailed(Exception):
    """A step was not seen to work in its time."""


@dataclass
class Demo:
    """The clusters, the repository, the stack, and what was seen so far."""

    clusters: ClusterSet
    repo: GitRepo
    stack: Stack
    view: View
    seen: list[Seen] = field(default_factory=list)
    token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def hub(self) -> Cluster:
        """The cluster with the API."""
        return self.clusters["hub"]

    @property
    def production(self) -> Cluster:
        """The cluster that the story is about."""
        return self.clusters["production"]

    # The story

    def connect_clusters(self) -> None:
        """The hub reaches the others by kubeconfig Secrets; the Git server will push to a Receiver."""
        prepare(Access(self.hub.kubeconfig, None, NAMESPACE))
        for name in ("staging", "production"):
            self._secret(f"{name}-kubeconfig", "value", yaml.safe_dump(self.clusters[name].kubeconfig_data))
        self._secret("push-token", "token", self.token)
        self._apply(
            RECEIVER,
            {
                "apiVersion": "notification.toolkit.fluxcd.io/v1",
                "kind": "Receiver",
                "metadata": {"name": "push", "namespace": NAMESPACE},
                "spec": {
                    "type": "github",
                    "events": ["ping", "push"],
                    "secretRef": {"name": "push-token"},
                    "resources": [{"kind": "GitRepository", "name": NAMESPACE}],
                },
            },
        )

    def converge(self) -> None:
        """One root Kustomization brings up everything on all clusters."""
        options = UpOptions(self.repo.url, "./clusters/hub", "main", "10m", None, None, NAMESPACE, 0, 0, None)
        for path, obj in root_objects(options):
            self._apply(path, obj)
        self.wait("every Kustomization is Ready on three clusters", lambda: self._all_ready(9), 180)

    def push(self) -> None:
        """A commit reaches production by webhook."""
        self.commit({"apps/base/podinfo/settings.ini": "[ui]\ncolour = green\n"}, "Paint it green")
        self.wait("a pushed commit runs in production", lambda: "green" in self._podinfo_settings(), 60)

    def drift(self) -> None:
        """Somebody scales by hand; the fleet scales back."""
        path = "/apis/apps/v1/namespaces/shop/deployments/frontend"
        body = {"spec": {"replicas": 10}}
        self.production.api("PATCH", path + "?fieldManager=kubectl-edit", body, "application/merge-patch+json")
        self.view.say("somebody scales shop/frontend in production to 10 by hand")
        self.wait("a hand edit is reverted", lambda: self._replicas() == 3, 30)

    def break_and_fix(self) -> None:
        """A broken manifest is named and changes nothing; its fix goes through."""
        good = (EXAMPLE / "apps/base/shop/shop.yaml").read_text()
        self.commit({"apps/base/shop/shop.yaml": good.replace("number: 80", "number: eighty")}, "Typo in the Ingress")
        self.wait("a broken manifest is reported, nothing else changes", self._broken_is_told, 60)
        self.commit({"apps/base/shop/shop.yaml": good.replace("1.4.2", "1.5.0")}, "Fix shop.yaml, take 1.5.0")
        self.wait(
            "its fix is applied", lambda: self._all_ready(9) and self._frontend_image("staging").endswith("1.5.0"), 60
        )

    def kill_a_worker(self) -> None:
        """kill -9 of the apply worker while it works; another start finishes the job."""
        text = (EXAMPLE / "apps/production/kustomization.yaml").read_text().replace("1.4.1", "1.5.0")
        self.commit({"apps/production/kustomization.yaml": text}, "Roll 1.5.0 out to production")
        self.stack.kill("apply")
        self.view.say("kill -9 of the apply worker")
        done = lambda: self._frontend_image("production").endswith("1.5.0") and self._all_ready(9)  # noqa: E731
        self.wait("a killed worker's run is finished by the next", done, 90)

    # Doing and seeing

    def commit(self, files: dict[str, str | None], message: str) -> None:
        """Push a commit and tell the webhook, as a Git host does."""
        sha = self.repo.commit(files, message)
        body = json.dumps({"ref": "refs/heads/main", "after": sha}).encode()
        signature = hmac.new(self.token.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": f"sha256={signature}",
            "Content-Type": "application/json",
        }
        path = self.hub.api("GET", RECEIVER)["status"]["webhookPath"]
        answer = urllib3.request(
            "POST", self.stack.web_url + path, body=body, headers=headers, timeout=10, retries=False
        )
        if answer.status != 200:
            raise DemoFailed(f"the webhook answered {answer.status}: {answer.data[:200].decode(errors='replace')}")
        self.view.say(f"git push: {message} ({sha[:7]})")

    def wait(self, what: str, done: Callable[[], bool], timeout: float) -> None:
        """Watch the clusters until `done`; notes the time."""
        begun = monotonic()
        self.view.waiting(what)
        while not self._holds(done):
            if monotonic() - begun > timeout:
                raise DemoFailed(f"not seen within {timeout:.0f} s: {what}")
            for name in self.stack.tend():
                self.view.say(f"{name} was started again")
            self.view.refresh(self._kustomizations())
        self.seen.append(Seen(what, monotonic() - begun))
        self.view.refresh(self._kustomizations())
        self.view.done(what, monotonic() - begun)

    def _holds(self, done: Callable[[], bool]) -> bool:
        try:
            return done()
        except (LookupError, ApiError, urllib3.exceptions.HTTPError):
            return False

    def _kustomizations(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.hub.api("GET", KUSTOMIZATIONS).get("items") or []
        return items

    def _all_ready(self, count: int) -> bool:
        items = self._kustomizations()
        head = self.repo.head()
        return len(items) >= count and all(_is_ready(item, head) for item in items)

    def _podinfo_settings(self) -> str:
        path = "/apis/apps/v1/namespaces/podinfo/deployments/podinfo"
        volumes = self.production.api("GET", path)["spec"]["template"]["spec"]["volumes"]
        name = volumes[0]["configMap"]["name"]
        data: dict[str, str] = self.production.api("GET", f"/api/v1/namespaces/podinfo/configmaps/{name}")["data"]
        return data["settings.ini"]

    def _frontend(self, cluster: str) -> dict[str, Any]:
        found: dict[str, Any] = self.clusters[cluster].api("GET", "/apis/apps/v1/namespaces/shop/deployments/frontend")
        return found

    def _replicas(self) -> int:
        return int(self._frontend("production")["spec"]["replicas"])

    def _frontend_image(self, cluster: str) -> str:
        return str(self._frontend(cluster)["spec"]["template"]["spec"]["containers"][0]["image"])

    def _broken_is_told(self) -> bool:
        told = [
            i
            for i in self._kustomizations()
            if i["metadata"]["name"].endswith("-apps") and _ready(i)["status"] == "False"
        ]
        return len(told) == 2 and all("Ingress" in _ready(i)["message"] for i in told) and self._replicas() == 3

    def _secret(self, name: str, key: str, value: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode()}
        meta = {"name": name, "namespace": NAMESPACE}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
        self._apply(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}", obj)

    def _apply(self, path: str, obj: dict[str, Any]) -> None:
        self.hub.api("PATCH", f"{path}?fieldManager=demo&force=true", obj, "application/apply-patch+yaml")


def _ready(item: dict[str, Any]) -> dict[str, Any]:
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready"), {"status": "Unknown", "message": ""})


def _is_ready(item: dict[str, Any], commit: str) -> bool:
    revision = (item.get("status") or {}).get("lastAppliedRevision", "")
    return bool(_ready(item)["status"] == "True" and revision.endswith(commit))


def example_files() -> dict[str, str | None]:
    """The example fleet as a repository's first commit."""
    return {str(p.relative_to(EXAMPLE)): p.read_text() for p in sorted(EXAMPLE.rglob("*")) if p.is_file()}


def main() -> int:
    """Tell the story; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    console.print(
        "[bold]Fleetbeat demo[/]: three clusters, one repository. Starting real API servers, Git, Redis and S3 …"
    )
    begun = monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="fleetbeat-demo-") as directory,
        ClusterSet("hub", "staging", "production", pods=True) as clusters,
        GitServer(Path(directory, "git")) as git,
    ):
        repo = git.create("fleet")
        repo.commit(example_files(), "The fleet")
        stack = Stack(Path(directory, "stack"), clusters["hub"].kubeconfig)
        console.print(f"clusters hub, staging, production and a Git server are up after {monotonic() - begun:.0f} s")
        with View(console) as view:
            demo = Demo(clusters, repo, stack, view)
            failure = _tell(demo)
        view.summary(demo.seen, failure, monotonic() - begun)
        if failure:
            view.logs({name: member.server.tail(12) for name, member in stack.members.items()})
        console.print(f"  Flower: {stack.flower_url}")
        try:
            if arguments.keep:
                _keep(console, demo)
        finally:
            stack.stop()
    return 1 if failure else 0


def _tell(demo: Demo) -> str:
    demo.connect_clusters()
    demo.stack.start()
    try:
        for step in (demo.converge, demo.push, demo.drift, demo.break_and_fix, demo.kill_a_worker):
            step()
    except DemoFailed as error:
        return str(error)
    return ""


def _keep(console: Console, demo: Demo) -> None:
    console.print(f"\nStill running. export KUBECONFIG={demo.hub.kubeconfig}   Ctrl-C ends it.")
    try:
        pause = threading.Event()
        while not pause.wait(0.5):
            demo.stack.tend()
    except KeyboardInterrupt:
        console.print("stopping …")


if __name__ == "__main__":
    sys.exit(main())
