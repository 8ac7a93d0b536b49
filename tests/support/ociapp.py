"""An application in a registry, as its publisher has it: pushed, tagged and signed."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbeat.sources.signatures import Target
from tests.support import oci
from tests.support.cosigned import PrivateKey, sign, simple_payload
from tests.support.shelf import RegistryWriter, put_simple
from tools.registry import RegistryServer


class OciApp:
    """One repository of a real registry."""

    def __init__(self, server: RegistryServer, name: str) -> None:
        self.server, self.name = server, name
        self.writer = RegistryWriter(oci.writer(server, name))

    @property
    def url(self) -> str:
        """As spec.url has it."""
        return f"oci://{self.server.host}/{self.name}"

    def push(self, files: Mapping[str, str], tag: str = "latest") -> Target:
        """A new artifact under the tag, unsigned."""
        self.writer = RegistryWriter(oci.writer(self.server, self.name))
        return self.tagged(oci.push(self.server, self.name, tag, files))

    def tagged(self, reference: str) -> Target:
        """What a tag or digest is now."""
        return Target.of(f"{self.server.host}/{self.name}", self.writer.registry.manifest(reference))

    def sign(self, target: Target, key: PrivateKey, payload: bytes = b"") -> None:
        """As `cosign sign --key` in the classic form; `payload` is another one than the target's."""
        payload = payload or simple_payload(target.digest)
        put_simple(self.writer, target.digest, payload, sign(key, payload))

    def looked_up(self) -> int:
        """How often signatures of this repository were asked for."""
        log = (self.server.directory / "log").read_text()
        return sum(f"/v2/{self.name}/manifests/sha256-" in line and "GET " in line for line in log.splitlines())
