"""How a Kustomization logs in to key services without a secret of its own: as a service account.

Owns the two ways: the identity that the account has at a cloud vendor, and a login to Vault or OpenBao by the account's
own token. Vault's servers are named by encrypted texts, so such a token goes only to those that the operator of the
whole installation lists. What was got is kept for the length of one run, in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import yaml

from fleetbeat.kube import vendorlogins
from fleetbeat.kube.access import account_token
from fleetbeat.kube.client import KubeClient
from fleetbeat.kube.errors import KubeError
from fleetbeat.reconcile.targets import HubReader
from fleetbeat.render.sops.keys import CannotOpen, Post

CONFIG = "config.yaml"
"""Key of the ConfigMap that lists the servers of Vault, as with Flux."""
_ACCOUNT = "system:serviceaccount:"
_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

T = TypeVar("T")


class CloudLogin:
    """Who a service account is at the vendors, each asked for once; a `Login`."""

    def __init__(self, hub: KubeClient, namespace: str, account: str) -> None:
        self._hub, self._namespace, self._account = hub, namespace, account
        self._sessions: dict[str, Any] = {}

    def aws(self, region: str) -> Any:
        """botocore's session in the account's role."""
        if region not in self._sessions:
            self._sessions[region] = self._asked(vendorlogins.aws_session, region)
        return self._sessions[region]

    def azure(self) -> Any:
        """azure-identity's credential."""
        return self._asked(vendorlogins.azure_credential)

    def google(self, scopes: Sequence[str]) -> Any:
        """google-auth's credentials."""
        return self._asked(vendorlogins.google_credentials, scopes)

    def _asked(self, ask: Callable[..., T], *more: Any) -> T:
        try:
            return ask(self._hub, self._namespace, self._account, *more)
        except KubeError as error:
            raise CannotOpen(f"spec.decryption.serviceAccountName: {error.message}") from None


class _Instance(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    login_path: str


class _Config(msgspec.Struct, frozen=True):
    instances: tuple[_Instance, ...] = ()


class _Auth(msgspec.Struct, frozen=True):
    client_token: str = ""


class _Answer(msgspec.Struct, frozen=True):
    auth: _Auth | None = None


_answer = msgspec.json.Decoder(_Answer)


class VaultLogin:
    """Tokens of Vault for a service account: it logs in to each server once, in the role `<namespace>_<name>`."""

    def __init__(self, reader: HubReader, config_map: str, account: tuple[str, str] | None, post: Post) -> None:
        """config_map: `namespace/name` of the operator's list; account: namespace and name, None for the worker's."""
        self._reader, self._config_map, self._account, self._post = reader, config_map, account, post
        self._tokens: dict[str, str] = {}

    def __call__(self, address: str) -> str:
        """A token for the server there; raises CannotOpen."""
        if address not in self._tokens:
            self._tokens[address] = self._log_in(address, self._path(address))
        return self._tokens[address]

    def _path(self, address: str) -> str:
        """The operator's word for it: where one logs in at that very address."""
        namespace, _, name = self._config_map.partition("/")
        where = f"ConfigMap {self._config_map}"
        try:
            text = self._reader.config_map(namespace, name).get(CONFIG) or ""
            listed = msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader) or {}, _Config)
        except KubeError as error:
            raise CannotOpen(f"{where} of FLEETBEAT_SOPS_VAULT_CONFIGMAP: {error.message}") from None
        except (yaml.YAMLError, msgspec.ValidationError) as error:
            raise CannotOpen(f"{where}: key {CONFIG!r} is no list of instances: {_line(error)}") from None
        found = next((one.login_path for one in listed.instances if one.address == address), "")
        if not found:
            raise CannotOpen(f"{where} lists no Vault server {address[:200]}")
        return found.strip("/")

    def _log_in(self, address: str, path: str) -> str:
        hub = self._reader.client
        try:
            namespace, name = self._account or _own_account(hub)
            proof = account_token(hub, namespace, name, (address,)).value
        except KubeError as error:
            raise CannotOpen(f"Vault at {address}: no token of the service account: {error.message}") from None
        role = f"{namespace}_{name}"
        what = f"Vault at {address}: login as {role} at {path}"
        body = msgspec.json.encode({"role": role, "jwt": proof})
        status, answer = self._post(
            f"{address.rstrip('/')}/v1/{quote(path)}", {"Content-Type": "application/json"}, body
        )
        if status != 200:
            raise CannotOpen(f"{what}: the server answers {status}")
        try:
            given = _answer.decode(answer).auth
        except msgspec.DecodeError:
            given = None
        if given is None or not given.client_token:
            raise CannotOpen(f"{what}: the server gives no token")
        return given.client_token


def _own_account(hub: KubeClient) -> tuple[str, str]:
    """The worker's own service account on the hub. Raises KubeError, CannotOpen when it has none."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review: Mapping[str, Any] = hub.create(_REVIEW, body)
    user = str((review.get("status") or {}).get("userInfo", {}).get("username") or "")
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    if not user.startswith(_ACCOUNT) or not name:
        raise CannotOpen("Vault: the worker is no service account of the hub; set spec.decryption.serviceAccountName")
    return namespace, name


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
