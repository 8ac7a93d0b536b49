"""An S3 client for one run, and the words for what can go wrong with it.

Owns addressing, login, TLS files and the translation of botocore's errors. Credentials of the worker itself are used
only where `Access.ambient` says so: without it a bucket without keys is visited anonymously.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from fleetbeat.artifacts.store import session
from fleetbeat.clouds import Login
from fleetbeat.errors import AuthenticationFailed, BucketFailed, FleetbeatError, InvalidSpec, InvalidSTS, InvalidURL
from fleetbeat.sources.bucket.access import Access, Keys
from fleetbeat.sources.credentials import Proxy
from fleetbeat.sources.patience import later
from fleetbeat.sources.pools import speaks_no_tls

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_s3.client import S3Client

PARALLEL = 8
"""Objects that are read at a time."""
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
_TRIES = 3
_VIRTUAL_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", "storage.googleapis.com")
"""Endpoints that want the bucket in the host name; all others take it in the path."""
_REGION = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com")
_ENDPOINT = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401", "403")
_BUSY = ("SlowDown", "TooManyRequests", "RequestLimitExceeded", "ServiceUnavailable", "503", "429")


@dataclass(frozen=True)
class Bucket:
    """Which bucket of which server."""

    endpoint: str
    """Host, and port where it is not the usual one."""
    name: str
    insecure: bool = False
    region: str = ""

    @property
    def url(self) -> str:
        """The server's URL; raises InvalidURL."""
        if not _ENDPOINT.fullmatch(self.endpoint):
            raise InvalidURL(f"spec.endpoint {self.endpoint!r}: write host or host:port, without scheme and path")
        return f"{'http' if self.insecure else 'https'}://{self.endpoint}"

    @property
    def area(self) -> str:
        """The region: as told, as the endpoint says, else AWS' first."""
        found = _REGION.search(self.endpoint)
        return self.region or (found[1] if found else "us-east-1")


@contextmanager
def connected(bucket: Bucket, access: Access, seconds: float) -> Iterator[S3Client]:
    """A client for this run; seconds: what the run may take. Nothing has been asked yet."""
    with tempfile.TemporaryDirectory(prefix="fleetbeat-tls-") as folder:
        options = _options(bucket, access, Path(folder), seconds)
        with translated(bucket, "connecting"):
            client = cast("S3Client", session().create_client("s3", **options))
        with closing(client):
            yield client


def _options(bucket: Bucket, access: Access, folder: Path, seconds: float) -> dict[str, Any]:
    from botocore import UNSIGNED
    from botocore.config import Config

    keys = access.keys or (_temporary_keys(bucket, access, seconds) if access.sts else None)
    settings: dict[str, Any] = _timeouts(seconds)
    if keys is None and not access.ambient:
        settings["signature_version"] = UNSIGNED
    if access.certificate and access.key:
        settings["client_cert"] = (_file(folder / "tls.crt", access.certificate), _file(folder / "tls.key", access.key))
    if access.proxy:
        settings["proxies"] = dict.fromkeys(("http", "https"), _proxy(access.proxy))
    virtual = bucket.endpoint.partition(":")[0].endswith(_VIRTUAL_HOSTS)
    config = Config(
        max_pool_connections=PARALLEL,
        response_checksum_validation="when_supported",
        s3={"addressing_style": "virtual" if virtual else "path"},
        **settings,
    )
    login = {} if keys is None else _login(keys)
    return {
        "endpoint_url": bucket.url,
        "region_name": bucket.area,
        "verify": _authorities(access, folder),
        "config": config,
        **login,
    }


def _timeouts(seconds: float) -> dict[str, Any]:
    return {
        "connect_timeout": min(seconds, CONNECT_SECONDS),
        "read_timeout": min(seconds, SILENCE_SECONDS),
        "retries": {"total_max_attempts": _TRIES, "mode": "standard"},
    }


def _login(keys: Keys) -> dict[str, str | None]:
    return {
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "aws_session_token": keys.token,
    }


def _proxy(proxy: Proxy) -> str:
    """As a URL with its login, which botocore takes and keeps out of its messages."""
    scheme, _, host = proxy.address.partition("://")
    if scheme not in ("http", "https"):
        raise InvalidSpec("spec.proxySecretRef: a bucket is reached through an http or https proxy only, not SOCKS")
    if proxy.username is None:
        return proxy.address
    return f"{scheme}://{quote(proxy.username, safe='')}:{quote(proxy.password or '', safe='')}@{host}"


def _authorities(access: Access, folder: Path) -> str | None:
    """A file with the authorities to trust; None leaves it to botocore."""
    system = ssl.get_default_verify_paths().cafile
    if access.ca is None:
        return system
    known = Path(system).read_bytes() if system else b""
    return _file(folder / "ca.crt", known + b"\n" + access.ca)


def _file(path: Path, content: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


def _temporary_keys(bucket: Bucket, access: Access, seconds: float) -> Keys:
    """Exchange the worker's web identity at the service that the spec names."""
    from botocore import UNSIGNED
    from botocore.config import Config

    role, file = os.environ.get("AWS_ROLE_ARN"), os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not role or not file:
        raise InvalidSTS(
            "spec.sts needs a worker with a web identity (AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE): "
            "give the source role's service account one, or remove spec.sts"
        )
    config = Config(signature_version=UNSIGNED, **_timeouts(seconds))
    with translated(bucket, "asking spec.sts.endpoint for credentials"):
        client: Any = session().create_client("sts", endpoint_url=access.sts, region_name=bucket.area, config=config)
        with closing(client):
            answer = client.assume_role_with_web_identity(
                RoleArn=role, RoleSessionName="fleetbeat", WebIdentityToken=Path(file).read_text().strip()
            )
    found = answer["Credentials"]
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def role_keys(bucket: Bucket, login: Login) -> Keys:
    """Temporary keys of a service account's identity; raises what `login` raises."""
    with translated(bucket, "logging in as the service account"):
        found = login.aws(bucket.area).get_credentials().get_frozen_credentials()
    return Keys(found.access_key, found.secret_key, found.token)


@contextmanager
def translated(bucket: Bucket, action: str) -> Iterator[None]:
    """botocore's errors as ours, in words that name endpoint and bucket and never a credential."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    where = f"bucket {bucket.name!r} at {bucket.endpoint}"
    try:
        yield
    except ClientError as error:
        raise _refusal(error, where, action, bucket.endpoint) from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise _failure(error, where, action) from error


def code_of(error: ClientError) -> str:
    """The S3 error code, or the HTTP status where there is none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _refusal(error: ClientError, where: str, action: str, endpoint: str) -> FleetbeatError:
    code = code_of(error)
    if code in ("NoSuchBucket", "404"):
        return BucketFailed(f"{where} does not exist; check spec.bucketName and spec.endpoint")
    if code == "RequestTimeTooSkewed":
        return BucketFailed(f"{where}: {action} was refused: the clocks of worker and server differ too much; set them")
    if code in _REFUSED:
        return AuthenticationFailed(
            f"{where}: {action} was refused ({code}); check the Secret or identity, and the bucket's policy"
        )
    if code in _BUSY:
        pause = later(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after"))
        return BucketFailed(f"{where}: {action}: the server is busy ({code})", retry_after=pause, asked_by=endpoint)
    return BucketFailed(f"{where}: {action} failed: {code[:80]}")


_WORDS = {
    "NoCredentialsError": "the worker has no cloud identity; name a Secret in spec.secretRef",
    "PartialCredentialsError": "the worker's cloud identity is incomplete",
    "EndpointConnectionError": "the server does not take connections, or its name is unknown",
    "ConnectTimeoutError": "the server does not take connections (timeout)",
    "ReadTimeoutError": "the server did not answer in time",
    "ConnectionClosedError": "the server closed the connection",
    "ProxyConnectionError": "the proxy cannot be used",
    "SSLError": "TLS failed; check spec.certSecretRef, or the server's certificate",
    "ParamValidationError": "the bucket's name or a key is not one that S3 knows; check spec.bucketName",
}


def _failure(error: Exception, where: str, action: str) -> FleetbeatError:
    name = type(error).__name__
    if name == "SSLError" and speaks_no_tls(error):
        return BucketFailed(f"{where}: {action}: the server does not speak TLS; spec.insecure: true allows plain HTTP")
    kind = AuthenticationFailed if "Credential" in name else BucketFailed
    return kind(f"{where}: {action}: {_WORDS.get(name, f'the connection broke ({name})')}")
