"""The Secrets of a Bucket."""

from __future__ import annotations

import pytest

from fleetbeat.errors import AuthenticationFailed
from fleetbeat.sources.bucket.access import Access, certificates_of, keys_of

pytestmark = pytest.mark.unit


def test_both_keys_are_needed() -> None:
    """The message names what is missing."""
    keys = keys_of({"accesskey": b"me", "secretkey": b"hidden"}, "ns/s")
    assert (keys.access_key, keys.secret_key) == ("me", "hidden")
    assert "hidden" not in repr(Access(keys=keys))
    for data, missing in (({"secretkey": b"x"}, "accesskey"), ({"accesskey": b"x", "secretkey": b""}, "secretkey")):
        with pytest.raises(AuthenticationFailed, match=f"ns/s lacks the key {missing}"):
            keys_of(data, "ns/s")


@pytest.mark.parametrize("value", [b"with\nbreak", b"\xff\xfe"])
def test_values_that_no_header_can_carry_are_refused(value: bytes) -> None:
    """Without being shown."""
    with pytest.raises(AuthenticationFailed) as caught:
        keys_of({"accesskey": b"me", "secretkey": value}, "ns/s")
    assert "with" not in caught.value.message.replace("without", "")


def test_certificates() -> None:
    """An authority, or a pair, or both; half a pair is an error."""
    assert certificates_of({"ca.crt": b"ca"}, "ns/s") == (b"ca", None, None)
    assert certificates_of({"tls.crt": b"c", "tls.key": b"k"}, "ns/s") == (None, b"c", b"k")
    with pytest.raises(AuthenticationFailed, match=r"tls\.key"):
        certificates_of({"tls.crt": b"c", "ca.crt": b"ca"}, "ns/s")
    with pytest.raises(AuthenticationFailed, match="neither"):
        certificates_of({"other": b"x"}, "ns/s")
