"""Reading objects: lenient towards what is new, exact about what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fleetbeat.api.decode import decode, decode_spec
from fleetbeat.api.kinds import KINDS
from fleetbeat.api.kustomize import KustomizationSpec
from fleetbeat.errors import InvalidSpec
from tests.support.samples import full, least

pytestmark = pytest.mark.unit

KUSTOMIZATION = KINDS["Kustomization"]
LEAST = {"prune": True, "sourceRef": {"kind": "GitRepository", "name": "app"}}


def kustomization(**spec: Any) -> dict[str, Any]:
    """A Kustomization with no more than is required, and `spec`."""
    return {"metadata": {"name": "shop", "namespace": "apps"}, "spec": LEAST | spec}


@pytest.mark.parametrize("name", KINDS)
def test_every_field_survives_reading_and_writing(name: str) -> None:
    """What the Structs write is what they have read, less the fields that have their default."""
    obj = full(KINDS[name])
    read = decode(KINDS[name], msgspec.json.encode(obj))
    for part in ("spec", "status"):
        if part in obj:
            struct = getattr(read, part)
            assert_within(msgspec.json.decode(msgspec.json.encode(struct)), obj[part])
            assert_within(obj[part], everything(struct))


def everything(value: Any) -> Any:
    """A Struct as JSON with its defaults."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {wire: everything(getattr(value, name)) for wire, name in names}
    if isinstance(value, tuple):
        return [everything(item) for item in value]
    return {key: everything(item) for key, item in value.items()} if isinstance(value, dict) else value


def assert_within(part: Any, whole: Any) -> None:
    """Every field of `part` is in `whole` with the same value."""
    if isinstance(part, dict):
        assert part.keys() <= whole.keys()
        for key, value in part.items():
            assert_within(value, whole[key])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for value, other in zip(part, whole, strict=True):
            assert_within(value, other)
    else:
        assert part == whole


@pytest.mark.parametrize("name", KINDS)
def test_what_is_required_is_enough(name: str) -> None:
    """Everything else has a default; a status need not be there."""
    assert decode(KINDS[name], least(KINDS[name])).metadata.name == "least"


def test_defaults_of_a_kustomization() -> None:
    """The interval may be left out, unlike in Flux."""
    spec = decode_spec(KUSTOMIZATION, kustomization())
    assert isinstance(spec, KustomizationSpec)
    assert (spec.interval, spec.force, spec.suspend, spec.depends_on) == ("5m", False, False, ())


def test_unknown_fields_are_passed_over() -> None:
    """A newer API than ours does not stop us."""
    obj = kustomization(brandNew={"x": 1}, kubeConfig={"secretRef": {"name": "spoke", "newer": True}})
    assert decode_spec(KUSTOMIZATION, obj).kube_config.secret_ref.name == "spoke"


def test_a_status_of_minus_one_is_what_was_never_reconciled() -> None:
    """Without a status the observed generation is -1."""
    assert decode(KUSTOMIZATION, kustomization()).status.observed_generation == -1
    assert decode(KINDS["Alert"], least(KINDS["Alert"])).status is None


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"interval": "5 minutes"}, "spec.interval: expected str matching"),
        ({"prune": "yes"}, "spec.prune: expected bool, got str"),
        ({"sourceRef": {"kind": "GitRepository"}}, "spec.sourceRef.name: is missing"),
        ({"sourceRef": {"kind": "Gopher", "name": "x"}}, "spec.sourceRef.kind: invalid enum value 'Gopher'"),
        ({"dependsOn": [{"name": 7}]}, "spec.dependsOn[0].name: expected str, got int"),
        ({"kubeConfig": "spoke"}, "spec.kubeConfig: expected object, got str"),
    ],
)
def test_what_is_wrong_is_told_by_object_and_field(spec: dict[str, Any], problem: str) -> None:
    """One sentence: which object, which field, what about it."""
    with pytest.raises(InvalidSpec) as raised:
        decode_spec(KUSTOMIZATION, kustomization(**spec))
    assert raised.value.message.startswith(f"Kustomization apps/shop: {problem}")


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"null"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    """Broken JSON ends in the same error as a broken spec."""
    with pytest.raises(InvalidSpec, match="Kustomization: not a JSON object"):
        decode(KUSTOMIZATION, text)
