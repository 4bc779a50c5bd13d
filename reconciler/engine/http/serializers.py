"""Spell records as the API does: each function returns a JSON document."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.engine.config.defaults import as_reported
from reconciler.engine.config.images import image_ref
from reconciler.engine.config.read import limits_of
from reconciler.engine.faults.settings import Behaviour
from reconciler.engine.models import (
    RUNNING,
    App,
    AppAddress,
    CheckResult,
    Event,
    Lease,
    LogEntry,
    Machine,
    Secret,
    Snapshot,
    Volume,
)
from reconciler.engine.runtime.base import ProcessStat
from reconciler.engine.secrets import digest_of

_GIB: Final = 2**30
_NETWORK_CIDR: Final = "fdaa::/48"  # there is no private network here
_BLOCK: Final = 4096
_OVERVIEW: Final = (
    "id",
    "name",
    "state",
    "region",
    "version",
    "private_ip",
    "created_at",
    "updated_at",
)
SORTABLE: Final = ("pid", "stime", "rtime", "command", "directory", "cpu", "rss")
_NOT_CHECKED: Final = "it runs; the local engine makes no checks"


def machine_json(
    machine: Machine,
    lease: Lease | None,
    behaviour: Behaviour,
    *,
    is_summary: bool = False,
    with_lease: bool = False,
    is_unreachable: bool = False,
    check_results: Mapping[str, CheckResult] | None = None,
) -> dict[str, Any]:
    """Return a machine, with its lease's nonce, and `with_lease` with who holds it.

    Of a machine whose host is down the config is null; `incomplete_config` has the little that is known without it.
    """
    body: dict[str, Any] = {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        **({"instance_id": machine.instance_id} if behaviour.tells_instance_id else {}),
        "version": machine.instance_id,
        "private_ip": "127.0.0.1",
        "image_ref": image_ref(machine.config),
        "created_at": time_text(machine.created_ms),
        "updated_at": time_text(machine.updated_ms),
        "cordoned": machine.is_cordoned,
        "host_features": [],
    }
    if with_lease and lease:
        body["lease"] = _holder_json(lease, behaviour)
    if is_summary:
        return body
    config = as_reported(machine.config)
    body |= {
        "config": None if is_unreachable else config,
        "events": [event_json(event) for event in machine.events[: behaviour.events_shown]],
        "checks": [] if is_unreachable else _checks(machine, check_results),
        "host_status": "unreachable" if is_unreachable else "ok",
    }
    if is_unreachable:
        body["incomplete_config"] = {key: config[key] for key in ("guest", "image") if key in config}
    return body | ({"nonce": lease.nonce} if lease else {})


def _checks(machine: Machine, check_results: Mapping[str, CheckResult] | None) -> list[dict[str, Any]]:
    """Return the results of the machine's checks.

    Where no checks are made at all, all pass while it runs.
    """
    if machine.state != "started":
        return []
    if check_results is not None:
        return [
            {"name": name, "status": one.status, "output": one.output, "updated_at": time_text(one.updated_ms)}
            for name, one in check_results.items()
        ]
    config = machine.config
    names = [*(config.get("checks") or {})] if isinstance(config.get("checks"), dict) else []
    services = config.get("services") if isinstance(config.get("services"), list) else []
    for service in services or []:
        checks = service.get("checks") if isinstance(service, dict) else None
        for number, check in enumerate(checks if isinstance(checks, list) else []):
            kind = check.get("type", "tcp") if isinstance(check, dict) else "tcp"
            names.append(f"servicecheck-{number:02d}-{kind}-{service.get('internal_port', 0)}")
    return [{"name": name, "status": "passing", "output": _NOT_CHECKED} for name in names]


def event_json(event: Event) -> dict[str, Any]:
    """Return an event."""
    return {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": event.timestamp_ms,
        "request": _payload_json(event.request),
    }


def _payload_json(request: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the payload of an event, with the time of an exit as RFC 3339.

    The engine records milliseconds. Fly's own client cannot read a list of machines with any other form than RFC 3339.
    """
    exit_event = (request or {}).get("exit_event")
    if request is None or not isinstance(exit_event, dict) or not isinstance(exit_event.get("exited_at"), int | float):
        return request
    return request | {"exit_event": exit_event | {"exited_at": time_text(exit_event["exited_at"])}}


def organization_machine_json(machine: Machine, *, is_summary: bool) -> dict[str, Any]:
    """Return a machine for an organization's list, with only some of its config."""
    body = machine_json(machine, None, Behaviour(), is_summary=True)
    body = {key: body[key] for key in _OVERVIEW} | {"app_name": machine.app}
    if is_summary:
        return body
    config = as_reported(machine.config)
    return body | {"config": {key: config[key] for key in ("guest", "image", "metadata") if config.get(key)}}


def process_json(process: ProcessStat) -> dict[str, Any]:
    """Return a process of the ps call."""
    return {
        "pid": process.pid,
        "stime": process.stime,
        "rtime": process.rtime,
        "command": process.command,
        "directory": process.directory,
        "cpu": process.cpu,
        "rss": process.rss,
        "listen_sockets": [{"proto": protocol, "address": address} for protocol, address in process.sockets],
    }


def memory_json(machine: Machine) -> dict[str, Any]:
    """Return a machine's memory and its limit."""
    available_mb = limits_of(machine.config).memory_mb
    return {"available_mb": available_mb, "limit_mb": machine.memory_limit_mb or available_mb}


def volume_json(volume: Volume, holder: Machine | None, used: int) -> dict[str, Any]:
    """Return a volume with the machine that mounts it; `used` is in bytes."""
    total = volume.size_gb * _GIB
    free = max(0, total - used) // _BLOCK
    return {
        "id": volume.id,
        "name": volume.name,
        "state": volume.state,
        "size_gb": volume.size_gb,
        "region": volume.region,
        "zone": "local",
        "encrypted": volume.encrypted,
        "attached_machine_id": holder.id if holder else None,
        "attached_alloc_id": None,
        "created_at": time_text(volume.created_ms),
        "blocks": total // _BLOCK,
        "block_size": _BLOCK,
        "blocks_free": free,
        "blocks_avail": free,
        "bytes_used": used,
        "bytes_total": total,
        "fstype": volume.fstype,
        "snapshot_retention": volume.snapshot_retention,
        "auto_backup_enabled": volume.auto_backup_enabled,
        "host_status": "ok",
        "host_features": [],
        "required_host_features": list(volume.required_host_features),
        "type": "local",
    }


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot."""
    return {
        "id": snapshot.id,
        "size": snapshot.size,
        "volume_size": snapshot.volume_size,
        "digest": snapshot.id,
        "status": "created",
        "retention_days": snapshot.retention_days,
        "created_at": time_text(snapshot.created_ms),
    }


def secret_json(secret: Secret, *, shows_value: bool = False) -> dict[str, Any]:
    """Return a secret, with its value only where `shows_value`."""
    body = {
        "name": secret.name,
        "digest": digest_of(secret),
        "created_at": time_text(secret.created_ms),
        "updated_at": time_text(secret.updated_ms),
    }
    return body | ({"value": secret.value} if shows_value else {})


def app_status(machines: Sequence[Machine]) -> str:
    """Return the status of an app that has these machines."""
    is_running = any(machine.state in RUNNING for machine in machines)
    return "pending" if not machines else "deployed" if is_running else "suspended"


def app_json(app: App, machines: Sequence[Machine], volume_count: int = 0) -> dict[str, Any]:
    """Return an app with the numbers of its machines and volumes."""
    return {
        "id": app.name,
        "name": app.name,
        "machine_count": len(machines),
        "volume_count": volume_count,
        "network": app.network or "default",
        "network_cidr": _NETWORK_CIDR,
        "status": app_status(machines),
        "organization": {"name": app.org, "slug": app.org},
    }


def address_json(address: AppAddress) -> dict[str, Any]:
    """Return an IP address of an app."""
    return {
        "ip": address.ip,
        "region": address.region,
        "service_name": address.service_name,
        "shared": address.kind == "shared_v4",
        "created_at": time_text(address.created_ms),
    }


def lease_json(lease: Lease, behaviour: Behaviour) -> dict[str, Any]:
    """Return the answer of a lease call."""
    data = {"nonce": lease.nonce, **_holder_json(lease, behaviour), "version": lease.version}
    return {"status": "success", "data": data}


def _holder_json(lease: Lease, behaviour: Behaviour) -> dict[str, Any]:
    """Return who holds the lease (its description: assumption A1), without the nonce."""
    return {
        "expires_at": int(lease.expires_at),
        "owner": lease.owner,
        "description": lease.description if behaviour.tells_lease_description else "",
    }


def logs_json(entries: list[LogEntry], next_token: str | None) -> dict[str, Any]:
    """Return a page of logs.

    `meta.stream` is this engine's own: Fly does not distinguish stdout and stderr.
    """
    token = str(entries[-1].timestamp_ns + 1) if entries else next_token or ""
    return {"data": [_log_json(entry) for entry in entries], "meta": {"next_token": token}}


def _log_json(entry: LogEntry) -> dict[str, Any]:
    meta = {
        "instance": entry.machine_id,
        "region": entry.region,
        "event": {"provider": entry.provider},
        "stream": entry.stream or None,
    }
    return {
        "id": str(entry.sequence),
        "type": "log",
        "attributes": {
            "timestamp": time_text(entry.timestamp_ns / 1e6),
            "message": entry.message,
            "level": entry.level,
            "instance": entry.machine_id,
            "region": entry.region,
            "meta": meta,
        },
    }


def time_text(milliseconds: float) -> str:
    """Return the time as RFC 3339."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
