"""The words of `fleetbeat create source`: which option makes which field. Names are those of the flux command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fleetbeat.errors import CommandFailed
from workers.cli.options import (
    DEFAULT_NAMESPACE,
    Context,
    Kubeconfig,
    Namespace,
    Timeout,
    Wait,
    listed,
    seconds,
    text_of,
)

app = typer.Typer(no_args_is_help=True, help="Create or update resources.", rich_markup_mode=None)
source = typer.Typer(no_args_is_help=True, help="Create or update sources.", rich_markup_mode=None)
app.add_typer(source, name="source")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
Interval = Annotated[str, typer.Option("--interval", help="How often upstream is looked at.")]
Export = Annotated[bool, typer.Option("--export", help="Print it as YAML instead of writing it.")]
Labels = Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE", help="Labels; may be repeated.")]
SecretRef = Annotated[str, typer.Option("--secret-ref", help="Secret with credentials.")]
CertRef = Annotated[str, typer.Option("--cert-ref", help="Secret with ca.crt, tls.crt and tls.key.")]
ProxyRef = Annotated[str, typer.Option("--proxy-secret-ref", help="Secret with the proxy's address.")]
Ignore = Annotated[list[str], typer.Option("--ignore-paths", help="Patterns of files to leave out; may be repeated.")]
Provider = Annotated[str, typer.Option("--provider", help="Where credentials come from.")]
Username = Annotated[str, typer.Option("--username", "-u", help="Makes a Secret, together with --password.")]
Password = Annotated[str, typer.Option("--password", "-p", help="Makes a Secret, together with --username.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="PEM file of the server's authority.")]
VerifyProvider = Annotated[str, typer.Option("--verify-provider", help="cosign or notation.")]
VerifySecret = Annotated[str, typer.Option("--verify-secret-ref", help="Secret with the signers' public keys.")]
VerifyIssuer = Annotated[str, typer.Option("--verify-issuer", help="Pattern of the signer's OIDC issuer.")]
VerifySubject = Annotated[str, typer.Option("--verify-subject", help="Pattern of the signer's identity.")]


@source.command()
def git(
    name: Name,
    url: Annotated[str, typer.Option("--url", help="http(s):// or ssh:// URL of the repository.")],
    branch: Annotated[str, typer.Option("--branch", help="Branch to follow.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Tag to follow.")] = "",
    semver: Annotated[str, typer.Option("--tag-semver", help="Range of versions among the tags.")] = "",
    commit: Annotated[str, typer.Option("--commit", help="Full SHA of a commit.")] = "",
    ref_name: Annotated[str, typer.Option("--ref-name", help="Full name of a reference.")] = "",
    interval: Interval = "1m",
    secret_ref: SecretRef = "",
    username: Username = "",
    password: Password = "",
    private_key_file: Annotated[Path | None, typer.Option("--private-key-file", help="SSH key.")] = None,
    known_hosts_file: Annotated[Path | None, typer.Option("--known-hosts-file", help="The server's SSH keys.")] = None,
    ca_file: CaFile = None,
    proxy_secret_ref: ProxyRef = "",
    provider: Provider = "",
    recurse_submodules: Annotated[bool, typer.Option("--recurse-submodules", help="Fetch submodules too.")] = False,
    sparse: Annotated[list[str], typer.Option("--sparse-checkout-paths", help="Directories to take.")] = [],  # noqa: B006
    ignore: Ignore = [],  # noqa: B006
    labels: Labels = [],  # noqa: B006
    export: Export = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    wait: Wait = True,
    timeout: Timeout = "1m",
) -> None:
    """A Git repository.

    For example `create source git apps --url https://… --branch main`.
    """
    secret = {
        "username": username,
        "password": password,
        "identity": text_of(private_key_file),
        "known_hosts": text_of(known_hosts_file),
        "ca.crt": text_of(ca_file),
    }
    spec = {
        "url": url,
        "interval": interval,
        "ref": {"branch": branch, "tag": tag, "semver": semver, "commit": commit, "name": ref_name},
        "secretRef": {"name": secret_ref},
        "proxySecretRef": {"name": proxy_secret_ref},
        "provider": provider,
        "recurseSubmodules": recurse_submodules,
        "sparseCheckout": listed(sparse),
        "ignore": "\n".join(listed(ignore)),
    }
    _create("GitRepository", name, spec, secret, name, labels, export, (kubeconfig, context, namespace), wait, timeout)


@source.command()
def oci(
    name: Name,
    url: Annotated[str, typer.Option("--url", help="oci:// URL without tag.")],
    tag: Annotated[str, typer.Option("--tag", help="Tag to follow.")] = "",
    semver: Annotated[str, typer.Option("--tag-semver", help="Range of versions among the tags.")] = "",
    digest: Annotated[str, typer.Option("--digest", help="sha256:… of the manifest.")] = "",
    interval: Interval = "1m",
    secret_ref: SecretRef = "",
    cert_ref: CertRef = "",
    proxy_secret_ref: ProxyRef = "",
    service_account: Annotated[str, typer.Option("--service-account", help="Its image pull secrets are used.")] = "",
    provider: Provider = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain HTTP.")] = False,
    verify_provider: VerifyProvider = "",
    verify_secret_ref: VerifySecret = "",
    verify_issuer: VerifyIssuer = "",
    verify_subject: VerifySubject = "",
    ignore: Ignore = [],  # noqa: B006
    labels: Labels = [],  # noqa: B006
    export: Export = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    wait: Wait = True,
    timeout: Timeout = "1m",
) -> None:
    """An OCI repository.

    For example `create source oci apps --url oci://… --tag latest`.
    """
    spec = {
        "url": url,
        "interval": interval,
        "ref": {"tag": tag, "semver": semver, "digest": digest},
        "secretRef": {"name": secret_ref},
        "certSecretRef": {"name": cert_ref},
        "proxySecretRef": {"name": proxy_secret_ref},
        "serviceAccountName": service_account,
        "provider": provider,
        "insecure": insecure,
        "verify": _verify(verify_provider, verify_secret_ref, verify_issuer, verify_subject),
        "ignore": "\n".join(listed(ignore)),
    }
    _create("OCIRepository", name, spec, {}, "", labels, export, (kubeconfig, context, namespace), wait, timeout)


@source.command()
def helm(
    name: Name,
    url: Annotated[str, typer.Option("--url", help="URL above the index.yaml, or oci://…")],
    interval: Interval = "1m",
    secret_ref: SecretRef = "",
    cert_ref: CertRef = "",
    username: Username = "",
    password: Password = "",
    pass_credentials: Annotated[bool, typer.Option("--pass-credentials", help="Also to other hosts.")] = False,
    provider: Annotated[str, typer.Option("--oci-provider", help="Where a registry's credentials come from.")] = "",
    labels: Labels = [],  # noqa: B006
    export: Export = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    wait: Wait = True,
    timeout: Timeout = "1m",
) -> None:
    """A Helm repository.

    For example `create source helm podinfo --url https://…`.
    """
    spec = {
        "url": url,
        "type": "oci" if url.startswith("oci://") else "",
        "interval": interval,
        "secretRef": {"name": secret_ref},
        "certSecretRef": {"name": cert_ref},
        "passCredentials": pass_credentials,
        "provider": provider,
    }
    secret = {"username": username, "password": password}
    where = (kubeconfig, context, namespace)
    _create("HelmRepository", name, spec, secret, f"helm-{name}", labels, export, where, wait, timeout)


@source.command()
def chart(
    name: Name,
    source_ref: Annotated[str, typer.Option("--source", help="KIND/NAME: HelmRepository, GitRepository or Bucket.")],
    chart_name: Annotated[str, typer.Option("--chart", help="Name of the chart, or its path in the source.")],
    version: Annotated[str, typer.Option("--chart-version", help="Version or range of versions.")] = "",
    strategy: Annotated[str, typer.Option("--reconcile-strategy", help="ChartVersion or Revision.")] = "",
    values: Annotated[list[str], typer.Option("--values-files", help="Files of the chart to merge.")] = [],  # noqa: B006
    interval: Interval = "1m",
    verify_provider: VerifyProvider = "",
    verify_secret_ref: VerifySecret = "",
    verify_issuer: VerifyIssuer = "",
    verify_subject: VerifySubject = "",
    labels: Labels = [],  # noqa: B006
    export: Export = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    wait: Wait = True,
    timeout: Timeout = "1m",
) -> None:
    """A chart of a source.

    For example `create source chart podinfo --source HelmRepository/podinfo --chart podinfo`.
    """
    kind, _, of = source_ref.partition("/")
    if not of:
        raise CommandFailed("--source takes KIND/NAME, for example HelmRepository/podinfo")
    spec = {
        "chart": chart_name,
        "version": version,
        "interval": interval,
        "sourceRef": {"kind": kind, "name": of},
        "reconcileStrategy": strategy,
        "valuesFiles": listed(values),
        "verify": _verify(verify_provider, verify_secret_ref, verify_issuer, verify_subject),
    }
    _create("HelmChart", name, spec, {}, "", labels, export, (kubeconfig, context, namespace), wait, timeout)


@source.command()
def bucket(
    name: Name,
    bucket_name: Annotated[str, typer.Option("--bucket-name", help="Name of the bucket.")],
    endpoint: Annotated[str, typer.Option("--endpoint", help="Host, with port where it needs one.")],
    prefix: Annotated[str, typer.Option("--prefix", help="What the keys begin with.")] = "",
    region: Annotated[str, typer.Option("--region", help="Region of the bucket.")] = "",
    interval: Interval = "1m",
    secret_ref: SecretRef = "",
    access_key: Annotated[str, typer.Option("--access-key", help="Makes a Secret, with --secret-key.")] = "",
    secret_key: Annotated[str, typer.Option("--secret-key", help="Makes a Secret, with --access-key.")] = "",
    proxy_secret_ref: ProxyRef = "",
    provider: Provider = "generic",
    insecure: Annotated[bool, typer.Option("--insecure", help="Plain HTTP.")] = False,
    ignore: Ignore = [],  # noqa: B006
    labels: Labels = [],  # noqa: B006
    export: Export = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    wait: Wait = True,
    timeout: Timeout = "1m",
) -> None:
    """A bucket.

    For example `create source bucket apps --bucket-name apps --endpoint s3.example.com`.
    """
    spec = {
        "bucketName": bucket_name,
        "endpoint": endpoint,
        "prefix": prefix,
        "region": region,
        "interval": interval,
        "secretRef": {"name": secret_ref},
        "proxySecretRef": {"name": proxy_secret_ref},
        "provider": provider,
        "insecure": insecure,
        "ignore": "\n".join(listed(ignore)),
    }
    secret = {"accesskey": access_key, "secretkey": secret_key}
    where = (kubeconfig, context, namespace)
    _create("Bucket", name, spec, secret, f"bucket-{name}", labels, export, where, wait, timeout)


Where = tuple[Path | None, str | None, str]


def _create(
    kind: str,
    name: str,
    spec: dict[str, Any],
    secret: dict[str, str],
    secret_name: str,
    labels: list[str],
    export: bool,
    where: Where,
    wait: bool,
    timeout: str,
) -> None:
    from workers.cli import create
    from workers.cli.connect import Access

    data = {key: value for key, value in secret.items() if value}
    if data and spec["secretRef"]["name"]:
        raise CommandFailed("--secret-ref names a Secret that is there: leave out the options that would make one")
    if data:
        spec = {**spec, "secretRef": {"name": secret_name}}
    wanted = create.Wanted(kind, name, spec, data, secret_name, create.pairs("--label", labels))
    create.run(wanted, Access(*where), export=export, wait=wait, timeout=seconds(timeout))


def _verify(provider: str, secret: str, issuer: str, subject: str) -> dict[str, Any]:
    if bool(issuer) != bool(subject):
        raise CommandFailed("--verify-issuer and --verify-subject go together")
    if not provider:
        return {}
    identity = [{"issuer": issuer, "subject": subject}] if issuer else []
    return {"provider": provider, "secretRef": {"name": secret}, "matchOIDCIdentity": identity}
