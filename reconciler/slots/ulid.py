"""ULIDs: 26 characters, sortable by time, one for each attempt of a create, a lease and a run."""

import os
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid(now: datetime) -> str:
    """A fresh ULID at `now`: 48 bits of milliseconds, then 80 random bits, in Crockford's base 32."""
    number = int(now.timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))
