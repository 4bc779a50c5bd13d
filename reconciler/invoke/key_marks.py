"""Write and parse the marks of idempotency keys on a pool's anchor. Pure.

A key is kept whole, with its run, while there is room. An evicted key leaves a fingerprint: 32 bits of its hash, in a
mark for the hour in which its run began, so that a whole hour expires at once. A key with a fingerprint has run before.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from reconciler.model import marks

MAX_KEYS: Final = 40
KEPT_FOR: Final = timedelta(hours=24)
_CLOCK_SLACK: Final = timedelta(hours=1)  # the clocks of two callers differ
_SEPARATOR: Final = ";"
_HOUR_S: Final = 3600
_BYTES: Final = 4
_PER_MARK: Final = 37  # 148 bytes are 200 characters in base 64


class KeyedRun(Struct, frozen=True, kw_only=True):
    """The mark of a key: its run's ULID and slot, digest of task, args and env, time."""

    ulid: str
    slot: str
    digest: str
    at: datetime

    def to_text(self) -> str:
        """Return the value of the mark."""
        return _SEPARATOR.join((self.ulid, self.slot, self.digest, str(int(self.at.timestamp()))))

    def is_past(self, now: datetime) -> bool:
        """Return whether the key has expired."""
        return self.at + KEPT_FOR + _CLOCK_SLACK <= now


def parse_keyed(text: str) -> KeyedRun | None:
    """Parse a metadata value; None if it is not the mark of a key."""
    fields = text.split(_SEPARATOR)
    if len(fields) != 4 or not (fields[3].isdecimal() and fields[3].isascii() and len(fields[3]) < 12):
        return None
    return KeyedRun(ulid=fields[0], slot=fields[1], digest=fields[2], at=datetime.fromtimestamp(int(fields[3]), UTC))


def hash_of(*parts: str) -> str:
    """Return a hash of 16 characters: keys may be secret, and are never written."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def keys_of(metadata: Mapping[str, str]) -> dict[str, KeyedRun]:
    """Return the keys that are kept whole, by their hash, oldest first."""
    found = {
        name.removeprefix(marks.KEY): memory
        for name, value in metadata.items()
        if name.startswith(marks.KEY) and (memory := parse_keyed(value))
    }
    return dict(sorted(found.items(), key=lambda pair: (pair[1].at, pair[0])))


def has_fingerprint(metadata: Mapping[str, str], key: str, now: datetime) -> bool:
    """Return whether a key of this hash ran within the last day and was evicted."""
    sought = _fingerprint(key)
    return any(sought in _chunks(metadata[name]) for name in metadata if _hour_of(name) and not _is_past(name, now))


def past_fingerprints(metadata: Mapping[str, str], now: datetime) -> list[str]:
    """Return the fingerprint marks of hours that have expired."""
    return [name for name in metadata if _hour_of(name) and _is_past(name, now)]


def fingerprint_mark(metadata: Mapping[str, str], key: str, at: datetime) -> tuple[str, str]:
    """Return name and value of the mark that adds the key's fingerprint to its hour."""
    hour = int(at.timestamp()) // _HOUR_S
    number = 0
    while True:
        name = f"{marks.FINGERPRINTS}{hour}_{number}"
        kept = list(_chunks(metadata.get(name, "")))
        if len(kept) < _PER_MARK:
            return name, base64.b64encode(b"".join([*kept, _fingerprint(key)])).decode()
        number += 1


def _fingerprint(key: str) -> bytes:
    return bytes.fromhex(key[: 2 * _BYTES])


def _chunks(value: str) -> Iterator[bytes]:
    try:
        joined = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return
    for start in range(0, len(joined), _BYTES):
        yield joined[start : start + _BYTES]


def _hour_of(name: str) -> int | None:
    """Return the hour since 1970 of a fingerprint mark; None for any other mark."""
    if not name.startswith(marks.FINGERPRINTS):
        return None
    hour = name.removeprefix(marks.FINGERPRINTS).partition("_")[0]
    return int(hour) if hour.isdecimal() and hour.isascii() and len(hour) < 8 else None


def _is_past(name: str, now: datetime) -> bool:
    hour = _hour_of(name)
    ended = datetime.fromtimestamp((hour or 0) * _HOUR_S + _HOUR_S, UTC)
    return ended + KEPT_FOR + _CLOCK_SLACK <= now
