"""The registry client against real registries, by every way to log in."""

from __future__ import annotations

import dataclasses
import io
import json

import msgspec
import pytest

from fleetbeat.errors import AuthenticationFailed, OCINotFound, OCIPullFailed
from fleetbeat.sources.credentials import HttpCredentials, proxy_of
from fleetbeat.sources.oci.login import Access, Login
from fleetbeat.sources.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Document
from fleetbeat.sources.oci.reference import digest_of
from tests.support import oci
from tests.unit.sources.oci.conftest import KINDS, Servers
from tools.proxy import Proxy
from tools.registry import RegistryServer

pytestmark = pytest.mark.unit

FILES = {"a.yaml": "a: 1\n"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_pushed_is_read_back(registries: Servers, name: str, kind: str) -> None:
    """Manifest by tag and digest, layer, tags; with and without TLS, password and tokens."""
    server = registries(kind)
    digest = oci.push(server, name, "1.0.0", FILES, {"who": "me"})
    registry = oci.client(server.host, name, oci.access_to(server))
    found = registry.resolve("1.0.0")
    manifest = registry.manifest(found.digest)
    (layer,) = manifest.layers
    out = io.BytesIO()
    sizes: list[int] = []
    registry.blob(layer, out, progress=sizes.append)
    assert (found.digest, found.media_type, found.size) == (digest, OCI_MANIFEST, len(manifest.raw))
    assert manifest.annotations["who"] == "me"
    assert digest_of(out.getvalue()) == layer.digest
    assert sum(sizes) == layer.size
    assert registry.tags() == ["1.0.0"]


@pytest.mark.parametrize("kind", [kind for kind, options in KINDS.items() if "account" in options])
@pytest.mark.parametrize("login", [Login("robot", "hunter2"), Login()], ids=["wrong", "none"])
def test_wrong_account_is_refused_in_clear_words(registries: Servers, name: str, kind: str, login: Login) -> None:
    """AuthenticationFailed with advice and without the password, even after somebody else got in."""
    server = registries(kind)
    oci.push(server, name, "latest", FILES)
    access = oci.access_to(server)
    wrong = Access(login, access.trust, access.insecure, advice="ask Bob")
    with pytest.raises(AuthenticationFailed, match="ask Bob") as caught:
        oci.client(server.host, name, wrong).resolve("latest")
    assert "hunter2" not in caught.value.message


def test_tokens_are_kept_for_equal_accounts_and_scopes_only(registries: Servers, name: str) -> None:
    """A second run asks for no token; another repository does."""
    server = registries("tokens")
    assert server.tokens is not None
    for repository in (name, f"{name}-2"):
        oci.push(server, repository, "latest", FILES)
    asked = server.tokens.asked
    asked.clear()
    for repository in (name, name, f"{name}-2"):
        oci.client(server.host, repository, oci.access_to(server, certificate=False)).resolve("latest")
    assert [one.scope for one in asked] == [f"repository:{name}:pull", f"repository:{name}-2:pull"]


def test_identity_token_is_exchanged(registries: Servers, name: str) -> None:
    """It goes to the token server by POST, not into a header."""
    server = registries("tokens")
    assert server.tokens is not None
    oci.push(server, name, "latest", FILES)
    server.tokens.asked.clear()
    access = oci.access_to(server, Login(identity_token="pass:word"))
    assert oci.client(server.host, name, access).resolve("latest").digest
    assert [(one.method, one.authorization) for one in server.tokens.asked] == [("POST", "")]


def test_expired_token_is_renewed(registries: Servers, name: str) -> None:
    """A token that the registry takes no longer costs one more round, not a failure."""
    server = registries("tokens")
    assert server.tokens is not None
    oci.push(server, name, "latest", FILES)
    lasting, server.tokens.seconds = server.tokens.seconds, -120
    try:
        with pytest.raises(AuthenticationFailed):
            oci.client(server.host, name, oci.access_to(server)).resolve("latest")
    finally:
        server.tokens.seconds = lasting
    assert oci.client(server.host, name, oci.access_to(server)).resolve("latest").digest


@pytest.mark.parametrize("reference", ["missing", "sha256:" + "0" * 64])
def test_what_is_not_there_is_not_found(registry: RegistryServer, name: str, reference: str) -> None:
    """Tag and digest; the message names the reference."""
    oci.push(registry, name, "latest", FILES)
    with pytest.raises(OCINotFound, match=reference):
        oci.client(registry.host, name).resolve(reference)


def test_unknown_repository_is_not_found(registry: RegistryServer, name: str) -> None:
    """No tags of nothing."""
    with pytest.raises(OCINotFound):
        oci.client(registry.host, name).tags()


def test_all_pages_of_tags_are_read(registry: RegistryServer, name: str) -> None:
    """The registry gives at most a thousand at a time."""
    digest = oci.push(registry, name, "t0", FILES)
    writer = oci.writer(registry, name)
    raw = writer.manifest(digest).raw
    for number in range(1, 1005):
        writer.push_manifest(f"t{number}", raw, OCI_MANIFEST)
    assert sorted(oci.client(registry.host, name).tags()) == sorted(f"t{number}" for number in range(1005))


def test_referrers_are_found_by_tag_where_there_is_no_api(registry: RegistryServer, name: str) -> None:
    """The index below `sha256-<hex>`, filtered by type; none is no error."""
    digest = oci.push(registry, name, "latest", FILES)
    reader = oci.client(registry.host, name)
    assert reader.referrers(digest) == []
    writer = oci.writer(registry, name)
    subject = writer.manifest(digest).descriptor
    raw = oci.push_layers(
        registry, name, "signature", [("text/plain", b"signed")], subject=subject, artifact_type="a/b"
    )
    pointer = {"mediaType": OCI_MANIFEST, "digest": raw, "size": 1, "artifactType": "a/b"}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [pointer]}).encode()
    writer.push_manifest(digest.replace(":", "-"), index, OCI_INDEX)
    assert [found.digest for found in reader.referrers(digest, "a/b")] == [raw]
    assert reader.referrers(digest, "c/d") == []
    signature = reader.manifest(raw)
    assert signature.document.subject == subject


def test_pushing_twice_sends_a_blob_once(registry: RegistryServer, name: str) -> None:
    """What is there already is not sent again, and equal content has an equal digest."""
    sent: list[int] = []
    writer, data = oci.writer(registry, name), b"data" * 1000
    for _ in range(2):
        writer.push_blob(digest_of(data), len(data), io.BytesIO(data), sent.append)
    assert sum(sent) == len(data)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_plain_http_and_unknown_authorities_need_consent(registries: Servers, name: str) -> None:
    """Without spec.insecure only a certificate that is trusted will do; with it, any."""
    plain, tls = registries("plain"), registries("tls")
    for server in (plain, tls):
        oci.push(server, name, "latest", FILES)
    with pytest.raises(OCIPullFailed, match=r"spec\.insecure"):
        oci.client(plain.host, name, Access()).resolve("latest")
    with pytest.raises(OCIPullFailed, match=r"ca\.crt"):
        oci.client(tls.host, name, Access()).resolve("latest")
    assert oci.client(tls.host, name, Access(insecure=True)).resolve("latest").digest
    wrong_authority = Access(trust=HttpCredentials(ca=registries("client-certificate").ca), insecure=True)
    with pytest.raises(OCIPullFailed, match="TLS"):
        oci.client(tls.host, name, wrong_authority).resolve("latest")


def test_blob_of_another_size_is_refused(registry: RegistryServer, name: str) -> None:
    """Beyond the cap before it is asked for, else when the bytes do not add up."""
    digest = oci.push(registry, name, "latest", FILES)
    reader = oci.client(registry.host, name)
    (layer,) = reader.manifest(digest).layers
    with pytest.raises(OCIPullFailed, match="more than the 10"):
        reader.read_blob(layer, 10)
    for size in (layer.size - 1, layer.size + 1):
        with pytest.raises(OCIPullFailed):
            reader.read_blob(Descriptor(layer.media_type, layer.digest, size), 10_000)


def test_index_is_told_apart(registry: RegistryServer, name: str) -> None:
    """A list of platforms is no manifest of layers."""
    digest = oci.push(registry, name, "latest", FILES)
    writer = oci.writer(registry, name)
    document = Document(2, OCI_INDEX, manifests=(writer.manifest(digest).descriptor,))
    writer.push_manifest("all", msgspec.json.encode(document), OCI_INDEX)
    found = oci.client(registry.host, name).manifest("all")
    assert found.is_index
    assert found.layers == ()


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("server", ["plain", "tls-tokens"])
def test_everything_passes_through_the_proxy(registries: Servers, name: str, kind: str, server: str) -> None:
    """Registry and token server, with the proxy's own login; a wrong one is told as such."""
    upstream = registries(server)
    oci.push(upstream, name, "latest", FILES)
    access = oci.access_to(upstream, certificate=False)
    with Proxy(kind, ("fleet", "pä:ss")) as proxy:
        for password, fails in (("pä:ss", False), ("hunter2", True)):
            data = {"address": proxy.address, "username": "fleet", "password": password}
            via = proxy_of({key: value.encode() for key, value in data.items()}, "apps/proxy")
            trust = dataclasses.replace(access.trust, proxy=via)
            registry = oci.client(upstream.host, name, dataclasses.replace(access, trust=trust))
            if fails:
                with pytest.raises(OCIPullFailed, match="proxy") as caught:
                    registry.resolve("latest")
                assert "hunter2" not in caught.value.message
            else:
                registry.manifest("latest")
        assert set(proxy.seen) >= {upstream.host}
        if upstream.tokens:
            assert f"127.0.0.1:{upstream.tokens.port}" in proxy.seen
