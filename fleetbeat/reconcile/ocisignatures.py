"""Signatures of what comes from a registry: spec.verify of OCIRepositories, and of charts in registries.

Owns when they are checked: again whenever anything differs that the last check depended on, which is the repository and
digest, the generation of the spec, and the content of its Secrets. The memo of each source holds a digest of all that,
and the condition SourceVerified must still be true. So nobody profits from the check of another source, and a changed
key takes effect with the run that the change of its Secret starts. The check is about the digest that is pulled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from fleetbeat.api.conditions import get_condition, remove_condition
from fleetbeat.api.meta import LocalRef
from fleetbeat.api.source.common import OIDCIdentity
from fleetbeat.errors import VerificationFailed
from fleetbeat.kube.errors import NotFound
from fleetbeat.reconcile.outcome import Status
from fleetbeat.reconcile.sourcework import SUCCEEDED, VERIFIED, SourceWork
from fleetbeat.sources.oci.manifest import Descriptor, Manifest
from fleetbeat.sources.oci.registry import Registry
from fleetbeat.sources.signatures import Judge, PublicRoot, RegistryShelf, SecretData, Target, Terms, judge_of, verify


class VerifySpec(Protocol):
    """spec.verify; a `trusted_root_secret_ref` is looked at where the kind has one."""

    @property
    def provider(self) -> str: ...
    @property
    def secret_ref(self) -> LocalRef | None: ...
    @property
    def match_oidc_identity(self) -> Sequence[OIDCIdentity]: ...


@dataclass
class SignatureCheck:
    """The check of one source in one run."""

    work: SourceWork[Any]
    spec: VerifySpec
    message: str = field(default="", init=False)
    """Of SourceVerified, after a check; empty while an earlier one holds."""
    passed: bool = field(default=False, init=False)

    def __call__(self, registry: Registry, manifest: Manifest) -> None:
        """Raises VerificationFailed unless the manifest is signed as the spec wants it."""
        self.of(registry, manifest.descriptor)

    def of(self, registry: Registry, descriptor: Descriptor, revision: str = "") -> None:
        """The same for a manifest that was only looked at; `revision` is what the message calls it."""
        repository = str(registry.repository)
        judge = self._judge(repository)
        proof = f"{self._terms(judge)}.{_hash(f'{repository} {descriptor.digest} {revision}')}"
        if proof != _standing(self.work):
            self._verify(judge, registry, descriptor, revision or descriptor.digest)
            self.work.remember(verified=proof)
        self.passed = True

    def _verify(self, judge: Judge, registry: Registry, descriptor: Descriptor, revision: str) -> None:
        self.work.remember(verified="")
        target = Target(str(registry.repository), descriptor.digest, descriptor.media_type, descriptor.size)
        found = verify(judge, RegistryShelf(registry), target)
        self.message = f"verified signature of revision {revision} by {found.by}"

    def is_due(self, repository: str) -> bool:
        """Whether what is stored must be verified anew, because someone else's signatures count now."""
        return not _standing(self.work).startswith(f"{self._terms(self._judge(repository))}.")

    def _judge(self, repository: str) -> Judge:
        spec, read = self.spec, self._secret
        root = getattr(spec, "trusted_root_secret_ref", None)
        terms = Terms(
            spec.provider,
            read("secretRef", spec.secret_ref),
            read("trustedRootSecretRef", root),
            spec.match_oidc_identity,
        )
        return judge_of(terms, repository, _public_root(self.work.ctx.settings.cache / "sigstore"))

    def _terms(self, judge: Judge) -> str:
        return _hash(f"{self.work.generation} {judge.fingerprint}")

    def _secret(self, name: str, ref: LocalRef | None) -> SecretData | None:
        if ref is None:
            return None
        namespace = self.work.ref.namespace
        full = f"{namespace}/{ref.name}"
        try:
            return SecretData(full, self.work.ctx.targets.reader.secret(namespace, ref.name))
        except NotFound as error:
            raise VerificationFailed(f"spec.verify.{name}: Secret {full} not found") from error


def mark_verified(work: SourceWork[Any], status: Status, check: SignatureCheck | None) -> None:
    """SourceVerified on the status of a success: of this check, or of the earlier one that holds; none without one."""
    conditions = status["conditions"]
    if check is None:
        remove_condition(conditions, VERIFIED)
        return
    told = get_condition(conditions, VERIFIED) or {}
    work.attempt.condition(status, VERIFIED, "True", SUCCEEDED, check.message or told.get("message", ""))


def _standing(work: SourceWork[Any]) -> str:
    """What the memo holds of the last check, as far as its outcome still stands in the status."""
    told = get_condition(work.old.get("conditions") or [], VERIFIED) or {}
    return work.remembered.verified if told.get("status") == "True" else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4)
def _public_root(directory: Path) -> PublicRoot:
    return PublicRoot(directory)
