"""What a server may say about when to come back."""

from __future__ import annotations

from email.utils import formatdate
from time import time

import pytest

from fleetbeat.sources.patience import LONGEST, later

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("77", 77.0),
        (" 5 ", 5.0),
        ("0", 1.0),
        ("99999999", LONGEST),
        ("9" * 400, LONGEST),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        ("Thu, 99 Foo 2020", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
        ("Wed, 21 Oct 2095 07:28:00 GMT", LONGEST),
    ],
)
def test_seconds_and_dates_within_bounds(value: str | None, seconds: float | None) -> None:
    """An hour at most, so that nobody is sent away for years; what cannot be read says nothing."""
    assert later(value) == seconds


def test_a_date_is_counted_from_now() -> None:
    """On our clock, because there is no other."""
    assert 57 <= (later(formatdate(time() + 60, usegmt=True)) or 0) <= 60
