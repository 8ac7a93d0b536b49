"""What an operator sets, read once from the environment of a process.

Owns names, defaults and the check of values; every role reads the same variables. Credentials are kept out of `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetbeat.errors import InvalidSpec


@dataclass(frozen=True)
class Settings:
    """One process's settings."""

    redis_url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    """`FLEETBEAT_REDIS_URL`; may carry a password."""
    kubeconfig: Path | None = None
    """`FLEETBEAT_KUBECONFIG`, else `KUBECONFIG`; None means the Pod's own service account."""
    cache: Path = Path("/tmp/fleetbeat")  # noqa: S108 - the default of a container's scratch volume
    """`FLEETBEAT_CACHE_DIR`: artifacts, Git caches and renders. Losing it costs time only."""
    artifact_url: str = "http://fleetbeat.fleetbeat-system.svc.cluster.local"
    """`FLEETBEAT_ARTIFACT_URL`: what `status.artifact.url` begins with."""
    web_host: str = "127.0.0.1"
    """`FLEETBEAT_WEB_HOST`: the address that the web role listens on."""
    web_port: int = 8080
    """`FLEETBEAT_WEB_PORT`."""
    flower_port: int = 5555
    """`FLEETBEAT_FLOWER_PORT`."""
    flower_auth: str = field(default="", repr=False)
    """`FLEETBEAT_FLOWER_AUTH`: `user:password` that Flower asks for; empty listens on loopback without."""
    owned_kinds: tuple[str, ...] = (
        "GitRepository",
        "OCIRepository",
        "HelmRepository",
        "HelmChart",
        "Bucket",
        "ArtifactGenerator",
        "Kustomization",
        "Receiver",
    )
    """`FLEETBEAT_OWNED_KINDS`: the kinds that this installation reconciles, comma-separated."""
    source_concurrency: int = 2
    """`FLEETBEAT_SOURCE_CONCURRENCY`: processes of the source worker."""
    apply_concurrency: int = 8
    """`FLEETBEAT_APPLY_CONCURRENCY`: threads of the apply worker."""
    host_rate: int = 20
    """`FLEETBEAT_HOST_RATE`: looks at one upstream host a second, of all source workers together; 0 lifts the limit."""
    no_cross_namespace_refs: bool = False
    """`FLEETBEAT_NO_CROSS_NAMESPACE_REFS=true`: a reference to another namespace is refused."""
    default_service_account: str = ""
    """`FLEETBEAT_DEFAULT_SERVICE_ACCOUNT`: fills an empty `spec.serviceAccountName`."""
    default_kubeconfig_service_account: str = ""
    """`FLEETBEAT_DEFAULT_KUBECONFIG_SERVICE_ACCOUNT`: fills an absent `serviceAccountName` of ConfigMaps that
    `spec.kubeConfig.configMapRef` names."""
    strict_substitution: bool = True
    """`FLEETBEAT_STRICT_SUBSTITUTION=false`: an undefined variable of postBuild is empty instead of a failure, as with
    Flux before 2.9 or without its gate `StrictPostBuildSubstitutions`."""
    sops_age_secret: str = ""
    """`FLEETBEAT_SOPS_AGE_SECRET`: `namespace/name` of the Secret whose age keys decrypt for every `spec.decryption`
    without a secretRef."""
    sops_vault_config_map: str = ""
    """`FLEETBEAT_SOPS_VAULT_CONFIGMAP`: `namespace/name` of the ConfigMap that lists the servers of Vault where service
    accounts may log in."""
    default_decryption_service_account: str = ""
    """`FLEETBEAT_DEFAULT_DECRYPTION_SERVICE_ACCOUNT`: fills an absent `spec.decryption.serviceAccountName`."""
    custom_apply_stage_kinds: tuple[str, ...] = ()
    """`FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS`: kinds with a stage of their own in an apply, after definitions and classes
    and before all others: `group/Kind`, or `Kind` of the core group, comma-separated."""
    override_managers: tuple[str, ...] = ()
    """`FLEETBEAT_OVERRIDE_MANAGERS`: how the names of field managers begin whose changes are undone like kubectl's."""
    prune_brake: str = ""
    """`FLEETBEAT_PRUNE_BRAKE`: from where on deletions need a confirmation; `off`, or limits as `all=5,most=50`."""
    log_level: str = "INFO"
    """`FLEETBEAT_LOG_LEVEL`."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Settings of this process; raises InvalidSpec naming the variable."""
        default = cls()
        kubeconfig = env.get("FLEETBEAT_KUBECONFIG") or env.get("KUBECONFIG", "").split(os.pathsep)[0]
        return cls(
            redis_url=env.get("FLEETBEAT_REDIS_URL", default.redis_url),
            kubeconfig=Path(kubeconfig) if kubeconfig else None,
            cache=Path(env.get("FLEETBEAT_CACHE_DIR", str(default.cache))),
            artifact_url=env.get("FLEETBEAT_ARTIFACT_URL", default.artifact_url).rstrip("/"),
            web_host=env.get("FLEETBEAT_WEB_HOST", default.web_host),
            web_port=_number(env, "FLEETBEAT_WEB_PORT", default.web_port),
            flower_port=_number(env, "FLEETBEAT_FLOWER_PORT", default.flower_port),
            flower_auth=env.get("FLEETBEAT_FLOWER_AUTH", default.flower_auth),
            owned_kinds=_words(env, "FLEETBEAT_OWNED_KINDS", default.owned_kinds),
            source_concurrency=_number(env, "FLEETBEAT_SOURCE_CONCURRENCY", default.source_concurrency),
            apply_concurrency=_number(env, "FLEETBEAT_APPLY_CONCURRENCY", default.apply_concurrency),
            host_rate=_number(env, "FLEETBEAT_HOST_RATE", default.host_rate),
            no_cross_namespace_refs=_flag(env, "FLEETBEAT_NO_CROSS_NAMESPACE_REFS"),
            default_service_account=env.get("FLEETBEAT_DEFAULT_SERVICE_ACCOUNT", ""),
            default_kubeconfig_service_account=env.get("FLEETBEAT_DEFAULT_KUBECONFIG_SERVICE_ACCOUNT", ""),
            strict_substitution=_flag(env, "FLEETBEAT_STRICT_SUBSTITUTION", default.strict_substitution),
            sops_age_secret=_reference(env, "FLEETBEAT_SOPS_AGE_SECRET"),
            sops_vault_config_map=_reference(env, "FLEETBEAT_SOPS_VAULT_CONFIGMAP"),
            default_decryption_service_account=env.get("FLEETBEAT_DEFAULT_DECRYPTION_SERVICE_ACCOUNT", ""),
            custom_apply_stage_kinds=_kinds(env, "FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS"),
            override_managers=_words(env, "FLEETBEAT_OVERRIDE_MANAGERS", ()),
            prune_brake=env.get("FLEETBEAT_PRUNE_BRAKE", ""),
            log_level=env.get("FLEETBEAT_LOG_LEVEL", default.log_level).upper(),
        )


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise InvalidSpec(f"{name}={text!r} is not a whole number")
    return int(text)


def _words(env: Mapping[str, str], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.strip() for word in env.get(name, "").split(",") if word.strip()) or default


def _reference(env: Mapping[str, str], name: str) -> str:
    text = env.get(name, "")
    if text and not all(text.partition("/")[::2]):
        raise InvalidSpec(f"{name}={text!r} is not of the form namespace/name")
    return text


def _kinds(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = _words(env, name, ())
    for word in words:
        if not word.rpartition("/")[2] or word.count("/") > 1 or word.startswith("/"):
            raise InvalidSpec(f"{name}: {word!r} is neither group/Kind nor Kind")
    return words


def _flag(env: Mapping[str, str], name: str, default: bool = False) -> bool:
    text = env.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        raise InvalidSpec(f"{name}={text!r} is neither true nor false")
    return text in ("true", "1") if text else default
