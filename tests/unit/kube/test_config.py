"""Kubeconfigs: what is read, what is believed, and what a person is told when it is wrong."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbeat.kube.config import ClusterConfig
from fleetbeat.kube.errors import InvalidKubeconfig
from tools.pki import Authority

pytestmark = pytest.mark.unit


def kubeconfig(user: Mapping[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://example.test:6443/", **cluster}}],
        "users": [{"name": "u", "user": dict(user)}],
    }


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("trusted", [True, False])
def test_plain_credentials(trusted: bool) -> None:
    """Tokens, certificate data, basic auth and the context's namespace are read as they stand."""
    user = {"client-certificate-data": encoded("CERT"), "client-key-data": encoded("KEY"), "token": "t0ken\n"}
    data = kubeconfig(user, **{"certificate-authority-data": encoded("CA"), "tls-server-name": "inner.test"})
    config = ClusterConfig.from_kubeconfig(yaml.safe_dump(data).encode(), trusted=trusted)
    assert (config.server, config.namespace) == ("https://example.test:6443", "team")
    assert (config.ca, config.client_cert, config.client_key) == (b"CA", b"CERT", b"KEY")
    assert config.auth_headers() == {"Authorization": "Bearer t0ken"}
    assert config.tls_server_name == "inner.test"
    basic = ClusterConfig.from_kubeconfig(kubeconfig({"username": "a", "password": "b"}), trusted=trusted)
    assert basic.auth_headers() == {"Authorization": f"Basic {encoded('a:b')}"}


def test_secrets_are_not_printed() -> None:
    """A config can be logged."""
    config = ClusterConfig.from_kubeconfig(
        kubeconfig(
            {"token": "hunter2", "client-certificate-data": encoded("C"), "client-key-data": encoded("hunter3")}
        ),
        trusted=True,
    )
    assert "hunter" not in repr(config)


def test_files_of_trusted_kubeconfigs_are_relative_to_them(tmp_path: Path) -> None:
    """Paths are resolved against the kubeconfig's folder, and a rotated token file is read anew."""
    for name in ("ca.crt", "token"):
        (tmp_path / name).write_text(name)
    data = kubeconfig({"tokenFile": "token"}, **{"certificate-authority": "ca.crt"})
    (tmp_path / "config").write_text(yaml.safe_dump(data))
    config = ClusterConfig.from_kubeconfig(tmp_path / "config", trusted=True)
    assert config.ca == b"ca.crt"
    assert config.auth_headers() == {"Authorization": "Bearer token"}
    (tmp_path / "token").write_text("rotated")
    assert config.auth_headers() == {"Authorization": "Bearer rotated"}


def plugin(folder: Path, output: str) -> dict[str, Any]:
    """A user whose exec plugin leaves a mark and prints `output` as its credential."""
    script = folder / "plugin.py"
    credential = f'{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {output}}}'
    script.write_text(f"import pathlib\npathlib.Path({str(folder / 'ran')!r}).touch()\nprint({credential!r})\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    command = {"command": sys.executable, "args": [str(script)], "interactiveMode": "Never"}
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **command}}


def test_exec_plugins_of_trusted_kubeconfigs_run(tmp_path: Path) -> None:
    """A plugin's token is used."""
    config = ClusterConfig.from_kubeconfig(kubeconfig(plugin(tmp_path, '{"token": "printed"}')), trusted=True)
    assert config.auth_headers() == {"Authorization": "Bearer printed"}


def test_a_failing_plugin_is_named(tmp_path: Path) -> None:
    """A plugin that prints nothing usable is an error, not an anonymous request."""
    with pytest.raises(InvalidKubeconfig, match="plugin"):
        ClusterConfig.from_kubeconfig(kubeconfig(plugin(tmp_path, "{}")), trusted=True)


@pytest.mark.parametrize(
    "user",
    [
        {"tokenFile": "/etc/passwd"},
        {"client-certificate": "/etc/passwd", "client-key": "/etc/passwd"},
        {"auth-provider": {"name": "gcp"}},
        {"exec": {"command": "touch", "args": ["{ran}"], "apiVersion": "client.authentication.k8s.io/v1"}},
    ],
    ids=lambda user: next(iter(user)),
)
def test_untrusted_kubeconfigs_neither_run_nor_read(user: dict[str, Any], tmp_path: Path) -> None:
    """What would run a program or read our disk is dropped; without another credential that is said."""
    if "exec" in user:
        user = {"exec": {**user["exec"], "args": [str(tmp_path / "ran")]}}
    with pytest.raises(InvalidKubeconfig, match=f"user.{next(iter(user))}.* not allowed here"):
        ClusterConfig.from_kubeconfig(kubeconfig(user), trusted=False)
    config = ClusterConfig.from_kubeconfig(kubeconfig({**user, "token": "t"}), trusted=False)
    assert config.auth_headers() == {"Authorization": "Bearer t"}
    assert (config.client_cert, config.client_key) == (None, None)
    assert not list(tmp_path.iterdir())


def test_untrusted_kubeconfigs_cannot_switch_verification_off() -> None:
    """insecure-skip-tls-verify and a CA file are dropped, and remembered for the error message."""
    data = kubeconfig({"token": "t"}, **{"insecure-skip-tls-verify": True, "certificate-authority": "/etc/hostname"})
    config = ClusterConfig.from_kubeconfig(data, trusted=False)
    assert not config.insecure
    assert config.ca is None
    assert set(config.ignored) == {"cluster.insecure-skip-tls-verify", "cluster.certificate-authority"}
    assert ClusterConfig.from_kubeconfig(
        kubeconfig({"token": "t"}, **{"insecure-skip-tls-verify": True}), trusted=True
    ).insecure


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", r"not valid YAML \(line"),
        (b"- a", "not a mapping"),
        (b"{}", "names no current-context"),
        (b"current-context: main", "no context 'main'"),
        (b"x: " + b"y" * (1 << 20), "larger than"),
        ({**kubeconfig({}), "clusters": []}, "no cluster 'c'"),
        (kubeconfig({}, server="ftp://x"), "cluster.server"),
        (kubeconfig({}, server="https://["), "cluster.server is not"),
        (kubeconfig({}, **{"proxy-url": "https://u:p@a b"}), "cluster.proxy-url is not"),
        (kubeconfig({}, **{"tls-server-name": "a/b"}), "cluster.tls-server-name is not"),
        (kubeconfig({"token": "a\nb"}), "user.token has characters"),
        (kubeconfig({"token": "t", "as": "a\r\nX: y"}), "user.as has characters"),
        (kubeconfig({"token": "t", "as": "a", "as-groups": ["b\n"]}), "user.as-groups has characters"),
        (kubeconfig({"client-certificate-data": "AAAA"}), "given together"),
        (kubeconfig({}, **{"certificate-authority-data": "a"}), "certificate-authority-data is not base64"),
        (kubeconfig({}, **{"certificate-authority": "/nonexistent/ca"}), "/nonexistent/ca cannot be read"),
        (Path("/nonexistent/config"), "cannot be read"),
    ],
)
def test_errors_name_the_field(data: Any, message: str) -> None:
    """Every way to be wrong has its sentence."""
    with pytest.raises(InvalidKubeconfig, match=message):
        ClusterConfig.from_kubeconfig(data, trusted=True)


def test_a_broken_kubeconfig_is_not_quoted() -> None:
    """YAML errors quote their input, which holds credentials; ours do not."""
    with pytest.raises(InvalidKubeconfig) as error:
        ClusterConfig.from_kubeconfig(b"token: hunter2: x\n\t- y", trusted=False)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_bad_certificates_are_told_before_any_connection() -> None:
    """A CA or key that is no PEM is a configuration error."""
    ca = kubeconfig({"token": "t"}, **{"certificate-authority-data": encoded("nonsense")})
    with pytest.raises(InvalidKubeconfig, match="certificate-authority-data is not a PEM"):
        _ = ClusterConfig.from_kubeconfig(ca, trusted=False).ssl_context
    pair = {"client-certificate-data": encoded("nonsense"), "client-key-data": encoded("nonsense")}
    with pytest.raises(InvalidKubeconfig, match="not a matching PEM pair"):
        _ = ClusterConfig.from_kubeconfig(kubeconfig(pair), trusted=False).ssl_context


def test_identities_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key touches the disk for the moment that OpenSSL reads it, and no longer."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pair = Authority("test").client("someone")
    user = {
        "client-certificate-data": encoded(pair.certificate.decode()),
        "client-key-data": encoded(pair.key.decode()),
    }
    assert ClusterConfig.from_kubeconfig(kubeconfig(user), trusted=False).ssl_context
    assert not list(tmp_path.iterdir())


def test_only_plugins_import_the_kubernetes_package() -> None:
    """The command line starts fast: plain kubeconfigs need neither `kubernetes` nor a YAML parser at import."""
    code = (
        "import sys, fleetbeat.kube.client; sys.exit(any(m in sys.modules for m in ('kubernetes', 'yaml', 'aiohttp')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
