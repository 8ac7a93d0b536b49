"""Shamir's secret sharing over GF(2^8) as HashiCorp's tools write it: the last byte of a share is its x coordinate."""

from __future__ import annotations

from collections.abc import Sequence

_POLYNOMIAL = 0x11B


def _tables() -> tuple[list[int], list[int]]:
    """Powers of the generator 3, and their logarithms."""
    power, log, value = [0] * 255, [0] * 256, 1
    for exponent in range(255):
        power[exponent], log[value] = value, exponent
        value ^= value << 1
        if value > 0xFF:
            value ^= _POLYNOMIAL
    return power, log


_POWER, _LOG = _tables()


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret; raises ValueError when the shares are not of one secret's form."""
    places = [share[-1] for share in shares if share]
    lengths = {len(share) for share in shares}
    if len(shares) < 2 or len(lengths) != 1 or lengths < {2} or len(set(places)) != len(shares) or 0 in places:
        raise ValueError("the shares do not fit together")
    weights = [_weight(place, places) for place in places]
    secret = bytearray(lengths.pop() - 1)
    for share, weight in zip(shares, weights, strict=True):
        for at, value in enumerate(share[:-1]):
            secret[at] ^= _times(value, weight)
    return bytes(secret)


def _weight(place: int, places: Sequence[int]) -> int:
    """Lagrange's coefficient at zero: the product of x / (x - place) over the others; minus is xor."""
    weight = 1
    for other in places:
        if other != place:
            weight = _times(weight, _POWER[(_LOG[other] - _LOG[other ^ place]) % 255])
    return weight


def _times(one: int, other: int) -> int:
    return _POWER[(_LOG[one] + _LOG[other]) % 255] if one and other else 0
