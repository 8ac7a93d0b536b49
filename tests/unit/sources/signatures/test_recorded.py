"""Signatures that cosign itself made, as it stored them in a registry: in its classic form and as bundles."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fleetbeat.errors import VerificationFailed
from fleetbeat.sources.oci.manifest import OCI_INDEX, OCI_MANIFEST
from fleetbeat.sources.oci.reference import digest_of
from fleetbeat.sources.signatures import SecretData, Target, Terms, judge_of, verify
from tests.support.cosigned import BUNDLE, public_pem
from tests.support.shelf import MemoryShelf, descriptor, put_referrers
from tests.support.sigstore import new_key

pytestmark = pytest.mark.unit

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "data/cosign.json").read_text())


def stored(form: str) -> tuple[MemoryShelf, Target]:
    """A repository with the recorded signatures of one form, and what they are about."""
    shelf, found = MemoryShelf(), RECORDED[form]
    tag = found["digest"].replace(":", "-")
    if form == "classic":
        shelf.put_blob(found["payload"].encode())
        shelf.put_manifest(f"{tag}.sig", found["manifest"].encode(), OCI_MANIFEST)
    else:
        listed = []
        for one in found["referrers"]:
            raw = one["manifest"].encode()
            shelf.put_blob(one["blob"].encode())
            shelf.put_manifest(digest_of(raw), raw, OCI_MANIFEST)
            listed.append(descriptor(OCI_MANIFEST, raw, artifactType=one["artifactType"]))
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()
        shelf.put_manifest(tag, index, OCI_INDEX)
    return shelf, Target("registry.example/app", found["digest"], OCI_MANIFEST, 426)


@pytest.mark.parametrize("form", ["classic", "bundle"])
@pytest.mark.parametrize("right", [True, False], ids=["its key", "another key"])
def test_what_cosign_signed_counts_with_its_key_alone(form: str, right: bool) -> None:
    """Among the bundles is also an attestation of an SBOM, which does not."""
    shelf, target = stored(form)
    pem = RECORDED["public"].encode() if right else public_pem(new_key())
    judge = judge_of(Terms("cosign", SecretData("apps/keys", {"cosign.pub": pem})), target.repository, bytes)
    if right:
        assert verify(judge, shelf, target).by == "key cosign.pub"
    else:
        with pytest.raises(VerificationFailed, match="made by none of the keys"):
            verify(judge, shelf, target)


TIMESTAMPED: dict[str, Any] = json.loads((Path(__file__).parent / "data/timestamped.json").read_text())


def check_timestamped(bundle: dict[str, Any], root: dict[str, Any]) -> str:
    """Who signed the recorded artifact, by that bundle and that root."""
    shelf, digest = MemoryShelf(), TIMESTAMPED["digest"]
    target = Target("registry.example/app", digest, OCI_MANIFEST, 1)
    put_referrers(shelf, target, (BUNDLE, BUNDLE, json.dumps(bundle).encode()))
    given = SecretData("apps/root", {"trusted_root.json": json.dumps(root).encode()})
    return verify(judge_of(Terms("cosign", root=given), target.repository, bytes), shelf, target).by


def test_a_log_of_version_2_needs_the_time_of_a_timestamp_authority() -> None:
    """Its entries promise nothing and tell no time; the recorded bundle has a timestamp by RFC 3161."""
    by = check_timestamped(TIMESTAMPED["bundle"], TIMESTAMPED["root"])
    assert by.startswith(f"identity {TIMESTAMPED['subject']} of {TIMESTAMPED['issuer']}")


@pytest.mark.parametrize("without", ["authority", "timestamp", "sound timestamp"])
def test_without_a_time_that_can_be_trusted_the_signature_does_not_count(without: str) -> None:
    """The certificate was valid for minutes; somebody must have seen the signature then."""
    bundle, root = (copy.deepcopy(TIMESTAMPED[part]) for part in ("bundle", "root"))
    stamps = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    if without == "authority":
        root["timestampAuthorities"] = []
    elif without == "timestamp":
        stamps.clear()
    else:
        raw = bytearray(base64.b64decode(stamps[0]["signedTimestamp"]))
        raw[-1] ^= 1
        stamps[0]["signedTimestamp"] = base64.b64encode(raw).decode()
    with pytest.raises(VerificationFailed, match="does not verify"):
        check_timestamped(bundle, root)
