"""When a lease ends, in words: with its date if that is another day."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from reconciler.slots.lease_description import until_words

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 12, 1, 0, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "now", "words"),
    [
        (NOON, NOON - timedelta(hours=1), "12:00:00 UTC"),
        (MIDNIGHT, NOON, "2026-12-01 00:00:30 UTC"),
        (MIDNIGHT, MIDNIGHT - timedelta(minutes=1), "2026-12-01 00:00:30 UTC"),
        (NOON, None, "2026-11-30 12:00:00 UTC"),
        (NOON.astimezone(timezone(timedelta(hours=14))), NOON, "12:00:00 UTC"),
    ],
)
def test_a_time_of_another_day_has_its_date(at: datetime, now: datetime | None, words: str) -> None:
    assert until_words(at, now=now) == words
