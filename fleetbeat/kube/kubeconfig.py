"""Reading kubeconfig files, and what of them is believed.

A plain kubeconfig (certificate data, tokens) is read here, without the `kubernetes` package and its 0.3 s of imports;
exec plugins and auth providers of *trusted* files go through that package. From untrusted ones (Secrets) everything
that would run a program, read our disk or skip verification is dropped.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig
from fleetbeat.kube.wellformed import is_header, is_host, is_token, is_url

if TYPE_CHECKING:
    from fleetbeat.kube.plugins import Plugin

MAX_SIZE = 1 << 20
"""Bytes; a Secret cannot hold more either."""

_UNTRUSTED_USER = ("exec", "auth-provider", "tokenFile", "client-certificate", "client-key")
_UNTRUSTED_CLUSTER = ("certificate-authority", "insecure-skip-tls-verify")


def load(data: Mapping[str, Any] | bytes | Path, *, trusted: bool, context: str | None = None) -> ClusterConfig:
    """See `ClusterConfig.from_kubeconfig`."""
    folder = data.parent if isinstance(data, Path) else Path.cwd()
    document = _parse(data)
    chosen = _entry(document, "contexts", context or document.get("current-context"), "context")
    cluster = dict(_entry(document, "clusters", chosen.get("cluster"), "cluster"))
    user = dict(_entry(document, "users", chosen.get("user"), "user")) if chosen.get("user") else {}
    ignored: tuple[str, ...] = ()
    if not trusted:
        ignored = (*_drop(cluster, _UNTRUSTED_CLUSTER, "cluster"), *_drop(user, _UNTRUSTED_USER, "user"))
    plugin = _run_plugin(document, user, str(context or document.get("current-context")))
    config = ClusterConfig(
        server=_server(cluster),
        ca=_pem(cluster, "certificate-authority", folder),
        client_cert=plugin.cert if plugin else _pem(user, "client-certificate", folder),
        client_key=plugin.key if plugin else _pem(user, "client-key", folder),
        token=plugin.token if plugin else _token(user, folder),
        basic=(str(user["username"]), str(user.get("password") or "")) if user.get("username") else None,
        tls_server_name=_server_name(cluster),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        proxy_url=_proxy(cluster),
        namespace=str(chosen.get("namespace") or ""),
        impersonation=tuple(_impersonation(user)),
        ignored=ignored,
    )
    _require_credential(config)
    return config


def address_of(data: bytes) -> tuple[str, bytes | None]:
    """Server and authority (PEM) of the current context of an untrusted kubeconfig, whose user is not looked at.

    Raises InvalidKubeconfig naming the field.
    """
    document = _parse(data)
    chosen = _entry(document, "contexts", document.get("current-context"), "context")
    cluster = dict(_entry(document, "clusters", chosen.get("cluster"), "cluster"))
    _drop(cluster, _UNTRUSTED_CLUSTER, "cluster")
    return _server(cluster), _pem(cluster, "certificate-authority", Path())


def _require_credential(config: ClusterConfig) -> None:
    if bool(config.client_cert) != bool(config.client_key):
        raise InvalidKubeconfig("kubeconfig: client-certificate-data and client-key-data must be given together")
    if config.ignored and not (config.token or config.client_cert or config.basic):
        raise InvalidKubeconfig(
            f"kubeconfig: {', '.join(config.ignored)} not allowed here and no other credential given; "
            "use a token or client-certificate-data"
        )


def _parse(data: Mapping[str, Any] | bytes | Path) -> dict[str, Any]:
    if isinstance(data, Mapping):
        return dict(data)
    import yaml

    try:
        text = data.read_bytes() if isinstance(data, Path) else data
        if len(text) > MAX_SIZE:
            raise InvalidKubeconfig(f"kubeconfig is larger than {MAX_SIZE} bytes")
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
    except OSError as error:
        raise InvalidKubeconfig(f"kubeconfig {data!s} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)  # the error's own text quotes the file, which holds credentials
        where = f" (line {mark.line + 1})" if mark else ""
        raise InvalidKubeconfig(f"kubeconfig is not valid YAML{where}") from None
    if not isinstance(document, dict):
        raise InvalidKubeconfig("kubeconfig is not a mapping")
    return document


def _entry(document: Mapping[str, Any], section: str, name: object, field: str) -> Mapping[str, Any]:
    if not name:
        raise InvalidKubeconfig(f"kubeconfig names no {'current-context' if section == 'contexts' else field}")
    entries = document.get(section) or []
    if isinstance(entries, list):
        for item in entries:
            if isinstance(item, dict) and item.get("name") == name and isinstance(item.get(field), dict):
                found: Mapping[str, Any] = item[field]
                return found
    raise InvalidKubeconfig(f"kubeconfig has no {field} {name!r} under {section}")


def _drop(part: dict[str, Any], fields: Iterable[str], prefix: str) -> list[str]:
    return [f"{prefix}.{field}" for field in fields if part.pop(field, None)]


def _server(cluster: Mapping[str, Any]) -> str:
    server = str(cluster.get("server") or "")
    if not is_url(server):
        raise InvalidKubeconfig("kubeconfig: cluster.server is not an http(s) URL")
    return server.rstrip("/")


def _proxy(cluster: Mapping[str, Any]) -> str | None:
    """As it is, because it may hold a login."""
    proxy = str(cluster.get("proxy-url") or "")
    bare = re.sub(r"(?<=://)[^/@]*@", "", proxy, count=1)
    if proxy and not is_url(bare):
        raise InvalidKubeconfig("kubeconfig: cluster.proxy-url is not an http(s) URL")
    return proxy or None


def _server_name(cluster: Mapping[str, Any]) -> str | None:
    name = str(cluster.get("tls-server-name") or "")
    if name and not is_host(name):
        raise InvalidKubeconfig("kubeconfig: cluster.tls-server-name is not the name of a host")
    return name or None


def _pem(part: Mapping[str, Any], field: str, folder: Path) -> bytes | None:
    """`<field>-data` (base64) wins over the path in `<field>`, as in kubectl."""
    inline = part.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=False)
        except (binascii.Error, ValueError, TypeError):
            raise InvalidKubeconfig(f"kubeconfig: {field}-data is not base64") from None
    if not part.get(field):
        return None
    path = folder / str(part[field])
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidKubeconfig(f"kubeconfig: {field}: {path} cannot be read: {error.strerror}") from error


def _token(user: Mapping[str, Any], folder: Path) -> Callable[[], str] | None:
    if user.get("tokenFile"):
        path = folder / str(user["tokenFile"])
        return lambda: path.read_text().strip()
    if user.get("token"):
        token = str(user["token"]).strip()
        if not is_token(token):
            raise InvalidKubeconfig("kubeconfig: user.token has characters that no token has")
        return lambda: token
    return None


def _header(value: object, field: str) -> str:
    if not is_header(str(value)):
        raise InvalidKubeconfig(f"kubeconfig: user.{field} has characters that no header has")
    return str(value)


def _run_plugin(document: Mapping[str, Any], user: Mapping[str, Any], context: str) -> Plugin | None:
    """Credentials of an exec plugin or auth provider, which the `kubernetes` package runs."""
    if not (user.get("exec") or user.get("auth-provider")):
        return None
    from fleetbeat.kube import plugins

    return plugins.run(document, context)


def _impersonation(user: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if user.get("as"):
        yield "Impersonate-User", _header(user["as"], "as")
        # One header holds one group; a repeated header cannot be expressed as a mapping, so only one is supported.
        groups = user.get("as-groups") or []
        if len(groups) > 1:
            raise InvalidKubeconfig("kubeconfig: user.as-groups with more than one group is not supported")
        if groups:
            yield "Impersonate-Group", _header(groups[0], "as-groups")
