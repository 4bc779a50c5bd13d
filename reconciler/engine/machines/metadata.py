"""A machine's metadata: what a write makes of it."""

from collections.abc import Mapping
from typing import Any

from reconciler.engine.errors import bad_request


def changed(before: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """The metadata after a write of these keys; null or an empty string takes one away. Raises ApiFault."""
    after = dict(before)
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            raise bad_request("a metadata value must be a string")
        if value:
            after[key] = value
        else:
            after.pop(key, None)
    return after


def check_size(metadata: Mapping[str, str], limit_bytes: int | None) -> None:
    """Raises ApiFault where the metadata is larger than a machine takes."""
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in metadata.items())
    if limit_bytes is not None and size > limit_bytes:
        raise bad_request(f"metadata is larger than {limit_bytes} bytes")
