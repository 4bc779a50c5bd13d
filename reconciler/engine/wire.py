"""Records as the API spells them."""

from datetime import UTC, datetime
from typing import Any, Final

from reconciler.engine.config import image_ref
from reconciler.engine.records import App, Event, Lease, LogEntry, Machine
from reconciler.engine.reported import as_reported

_EVENTS_SHOWN: Final = 20
_NOT_CHECKED: Final = "it runs; the local engine makes no checks"


def machine_json(
    machine: Machine, lease: Lease | None, *, is_summary: bool = False, is_unreachable: bool = False
) -> dict[str, Any]:
    """A machine; of one whose host is down the config is null, and `incomplete_config` lacks what the host knows."""
    body: dict[str, Any] = {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": "127.0.0.1",
        "image_ref": image_ref(machine.config),
        "created_at": _time(machine.created_ms),
        "updated_at": _time(machine.updated_ms),
        "cordoned": machine.is_cordoned,
    }
    if is_summary:
        return body
    config = as_reported(machine.config)
    body |= {
        "config": None if is_unreachable else config,
        "events": [event_json(event) for event in machine.events[:_EVENTS_SHOWN]],
        "checks": [] if is_unreachable else _checks(machine),
        "host_status": "unreachable" if is_unreachable else "ok",
    }
    if is_unreachable:
        body["incomplete_config"] = {key: config[key] for key in ("guest", "image") if key in config}
    return body | ({"nonce": lease.nonce} if lease else {})


def _checks(machine: Machine) -> list[dict[str, Any]]:
    """A report of each check that is declared, passing while the machine runs: none is really made."""
    if machine.state != "started":
        return []
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
    return {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": event.timestamp_ms,
        "request": event.request,
    }


def app_json(app: App, machine_count: int, *, is_running: bool) -> dict[str, Any]:
    status = "pending" if not machine_count else "deployed" if is_running else "suspended"
    return {
        "id": app.name,
        "name": app.name,
        "machine_count": machine_count,
        "volume_count": 0,
        "network": "default",
        "status": status,
        "organization": {"name": app.org, "slug": app.org},
    }


def lease_json(lease: Lease, *, with_description: bool = True) -> dict[str, Any]:
    data = {
        "nonce": lease.nonce,
        "expires_at": int(lease.expires_at),
        "owner": lease.owner,
        "description": lease.description if with_description else "",
        "version": lease.version,
    }
    return {"status": "success", "data": data}


def logs_json(entries: list[LogEntry], next_token: str | None) -> dict[str, Any]:
    """A page of logs. `meta.stream` is this engine's own addition: Fly does not tell stdout and stderr apart."""
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
            "timestamp": _time(entry.timestamp_ns / 1e6),
            "message": entry.message,
            "level": entry.level,
            "instance": entry.machine_id,
            "region": entry.region,
            "meta": meta,
        },
    }


def _time(milliseconds: float) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
