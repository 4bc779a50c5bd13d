"""JSON to nouns and back: the only place that knows how the API spells machines, events, leases and logs.

Tolerant where the platform is: an unknown state is UNKNOWN, a missing list is empty, a config that is null stays
missing. What cannot be a machine at all raises MalformedError.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.machines_api.exits import exit_from_json
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Check, Event, HostStatus, Lease, Machine, MachineState

_TEXTS: Final = ("image", "schedule")
_MAPS: Final = ("env", "metadata", "checks", "guest", "init", "restart", "stop_config")
_LISTS: Final = ("services", "files", "mounts", "processes")
_END_OF_TIME_MS: Final = 253_402_300_800_000  # the year 10000, which no time here can tell


class MalformedError(ValueError):
    """An answer that is JSON, but not what the API gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppInfo:
    """An app as reported. `machine_count` is None where the server does not tell."""

    name: str
    status: str
    machine_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a machine's log. `stream` is stdout or stderr where the target tells; `provider` who wrote it.

    `attempt` counts the starts of the line's run, from 1: above that the platform had started it again.
    """

    id: str
    timestamp: datetime
    message: str
    stream: str | None
    provider: str | None
    level: str
    attempt: int = 1

    @property
    def is_output(self) -> bool:
        """Whether the machine's own command wrote it."""
        return self.provider in {"app", None}

    @property
    def is_platform_error(self) -> bool:
        """Whether the platform says what went wrong with the machine."""
        return not self.is_output and self.level == "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines, oldest first, and where to go on."""

    lines: tuple[LogLine, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationPage:
    """Some machines of an organisation, and where to go on; None at the end. Not `is_complete` where a region did not
    answer: then a machine that is missing may be there all the same.
    """

    machines: tuple[Machine, ...]
    next_cursor: str | None
    is_complete: bool


def app_from_json(value: Any, name: str) -> AppInfo:
    app = _object(value, "an app")
    count = app.get("machine_count")
    return AppInfo(
        name=str(app.get("name") or name),
        status=str(app.get("status") or ""),
        machine_count=count if isinstance(count, int) and not isinstance(count, bool) else None,
    )


def machines_from_json(app: str, value: Any) -> tuple[Machine, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MalformedError("expected a list of machines")
    return tuple(machine_from_json(app, one) for one in value)


def machine_from_json(app: str, value: Any) -> Machine:
    machine = _object(value, "a machine")
    machine_id = machine.get("id")
    if not isinstance(machine_id, str) or not machine_id:
        raise MalformedError("expected a machine with an id")
    config = machine.get("config")
    image = machine.get("image_ref")
    return Machine(
        app=app,
        id=machine_id,
        name=str(machine.get("name") or ""),
        state=_state(machine.get("state")),
        region=str(machine.get("region") or ""),
        instance_id=str(machine.get("instance_id") or ""),
        config=MachineConfig(document=_clean(config)) if isinstance(config, dict) else None,
        created_at=time_from_json(machine.get("created_at")),
        updated_at=time_from_json(machine.get("updated_at")),
        host_status=_host_status(machine.get("host_status")),
        image_digest=image.get("digest") or None if isinstance(image, dict) else None,
        events=events_from_json(machine.get("events")),
        checks=tuple(_check(one) for one in _list(machine.get("checks")) if isinstance(one, dict)),
        is_understood=not isinstance(config, dict) or _is_understood(config),
    )


def organization_page_from_json(value: Any) -> OrganizationPage:
    page = _object(value, "a page of machines")
    machines, cursor = page.get("machines"), page.get("next_cursor")
    if not isinstance(machines, list) or not isinstance(cursor, str | None):
        raise MalformedError("expected a page of machines")
    return OrganizationPage(
        machines=tuple(_organization_machine(one) for one in machines),
        next_cursor=cursor or None,
        is_complete=not page.get("error_regions"),
    )


def _organization_machine(value: Any) -> Machine:
    """What an app's own list calls `instance_id` may be called `version` here."""
    machine = _object(value, "a machine")
    app = machine.get("app_name")
    if not isinstance(app, str) or not app:
        raise MalformedError("expected a machine of an app")
    return machine_from_json(app, {**machine, "instance_id": machine.get("instance_id") or machine.get("version")})


def events_from_json(value: Any) -> tuple[Event, ...]:
    """Events newest first, as the server gives them."""
    return tuple(_event(one) for one in _list(value) if isinstance(one, dict))


def regions_from_json(value: Any) -> frozenset[str]:
    """The codes of the platform's regions. The live API capitalises the key, its document does not."""
    answer = _object(value, "a list of regions")
    rows = answer.get("Regions", answer.get("regions"))
    codes = (row.get("code") for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return frozenset(code for code in codes if isinstance(code, str) and code)


def versions_from_json(value: Any) -> dict[str, MachineConfig]:
    """The configs that were sent, by the instance id that each got; those that are no longer kept are left out."""
    found = [one for one in _list(value) if isinstance(one, dict) and isinstance(one.get("user_config"), dict)]
    return {str(one.get("version")): MachineConfig(document=_clean(one["user_config"])) for one in found}


def lease_from_json(value: Any) -> Lease:
    """A lease; real replies wrap it in `data`, the specification does not."""
    lease = _object(value, "a lease")
    data = lease.get("data")
    lease = data if isinstance(data, dict) else lease
    nonce = lease.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise MalformedError("expected a lease with a nonce")
    return Lease(
        nonce=nonce,
        expires_at=time_from_json(lease.get("expires_at")) or datetime.fromtimestamp(0, UTC),
        owner=str(lease.get("owner") or "someone"),
        description=str(lease.get("description") or ""),
        version=str(lease["version"]) if lease.get("version") else None,
    )


def logs_from_json(value: Any) -> LogPage:
    page = _object(value, "a page of logs")
    meta = page.get("meta")
    token = meta.get("next_token") if isinstance(meta, dict) else None
    lines = tuple(_log_line(one) for one in _list(page.get("data")) if isinstance(one, dict))
    return LogPage(lines=lines, next_token=str(token) if token else None)


def time_from_json(value: Any) -> datetime | None:
    """A time given as RFC 3339, seconds or milliseconds; None where it is none of them."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        if isinstance(value, str) and value:
            at = datetime.fromisoformat(value.replace(" UTC", ""))
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def machine_body(
    *, name: str, region: str, config: MachineConfig, skip_launch: bool, current_version: str | None = None
) -> dict[str, Any]:
    """The body of a create or an update."""
    body: dict[str, Any] = {"name": name, "region": region, "config": dict(config.document)}
    if skip_launch:
        body["skip_launch"] = True
    if current_version:
        body["current_version"] = current_version
    return body


def _event(event: Mapping[str, Any]) -> Event:
    timestamp = event.get("timestamp")
    return Event(
        id=str(event.get("id") or ""),
        type=str(event.get("type") or ""),
        status=str(event.get("status") or ""),
        source=str(event.get("source") or ""),
        timestamp_ms=int(timestamp) if isinstance(timestamp, int | float) and 0 <= timestamp < _END_OF_TIME_MS else 0,
        exit=exit_from_json(event.get("request")) if event.get("type") == "exit" else None,
    )


def _log_line(entry: Mapping[str, Any]) -> LogLine:
    attributes = entry.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    meta = attributes.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    event = meta.get("event")
    provider = event.get("provider") if isinstance(event, dict) else None
    stream = meta.get("stream")
    return LogLine(
        id=str(entry.get("id") or ""),
        timestamp=time_from_json(attributes.get("timestamp")) or datetime.fromtimestamp(0, UTC),
        message=str(attributes.get("message") or ""),
        stream=stream if stream in {"stdout", "stderr"} else None,
        provider=str(provider) if provider else None,
        level=str(attributes.get("level") or ""),
    )


def _check(check: Mapping[str, Any]) -> Check:
    return Check(
        name=str(check.get("name") or ""), status=str(check.get("status") or ""), output=str(check.get("output") or "")
    )


def _clean(config: dict[str, Any]) -> dict[str, Any]:
    """The config with env and metadata as maps of strings, whatever nulls came."""
    cleaned = dict(config)
    for key in ("env", "metadata"):
        value = cleaned.get(key)
        if key in cleaned:
            mapping = value if isinstance(value, dict) else {}
            cleaned[key] = {str(name): str(text) for name, text in mapping.items() if text is not None}
    return cleaned


def _is_understood(config: Mapping[str, Any]) -> bool:
    """Whether the sections that our logic reads are of the API's types, or null."""
    kinds = [(_TEXTS, str), (_MAPS, dict), (_LISTS, list)]
    right = all(isinstance(config.get(name), kind | None) for names, kind in kinds for name in names)
    return right and all(isinstance(one, dict) for name in _LISTS for one in config.get(name) or ())


def _state(value: Any) -> MachineState:
    try:
        return MachineState(value)
    except ValueError:
        return MachineState.UNKNOWN


def _host_status(value: Any) -> HostStatus:
    if not value:
        return HostStatus.OK
    try:
        return HostStatus(value)
    except ValueError:
        return HostStatus.UNKNOWN


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"expected {what}")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
