"""Change a machine's metadata: by a write of keys, or by the config of an update."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.faults.settings import Behaviour
from reconciler.engine.models import RESTING, Machine


def write_metadata(machine: Machine, values: Mapping[str, Any], version: Any, behaviour: Behaviour) -> Machine:
    """Return the machine with these keys set; null or an empty string removes a key.

    Raises ApiFault, also where a `version` is given that is not the machine's. No lease prevents a write.
    """
    if machine.is_destroyed:
        raise not_found("machine")
    if version and version != machine.instance_id:
        raise api_fault("stale_metadata")
    if not behaviour.takes_metadata_at_rest and machine.state in RESTING:
        raise ApiFault(412, "failed_precondition: machine is not started")
    metadata = dict(machine.config.get("metadata") or {})
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            raise bad_request("a metadata value must be a string")
        if value:
            metadata[key] = value
        else:
            metadata.pop(key, None)
    check_size(metadata, behaviour)
    return replace(machine, config=machine.config | {"metadata": metadata})


def updated_config(machine: Machine, config: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Return the config of an update with the metadata after it (assumption A4).

    Raises ApiFault where the metadata is too large.
    """
    if not behaviour.drops_omitted_metadata:
        config = config | {"metadata": (machine.config.get("metadata") or {}) | (config.get("metadata") or {})}
    check_size(config.get("metadata") or {}, behaviour)
    return config


def check_size(metadata: Mapping[str, str | None], behaviour: Behaviour) -> None:
    """Raise ApiFault where the metadata is too large (assumption A5)."""
    limit_bytes = behaviour.metadata_limit_bytes
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in metadata.items())
    if limit_bytes is not None and size > limit_bytes:
        raise bad_request(f"metadata is larger than {limit_bytes} bytes")
