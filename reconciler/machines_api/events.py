"""Parse the events of a machine, and among them how its command ended.

A member of the wrong type is never guessed: an exit code of "3" read as 0 would be a false success. The Exit then says
in `error` which member was not understood.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconciler.machines_api.values import MalformedError, list_of, text_of
from reconciler.model.machine import Event, Exit

_END_OF_TIME_MS: Final = 253_402_300_800_000  # the year 10000, which datetime cannot hold
_NOT_KNOWN: Final = -1
_CODES: Final = range(-(2**31), 2**32)
_CODE: Final = "exit_code"
_GUEST_CODE: Final = "guest_exit_code"
_FLAGS: Final = ("oom_killed", "requested_stop", "restarting")


class _NotUnderstoodError(ValueError):
    """A member exists and has a type or value that the API never gives."""


def events_from_json(value: Any) -> tuple[Event, ...]:
    """Parse events, newest first as the server sends them.

    An invalid one keeps its place, without id and type.
    """
    return tuple(_event(one if isinstance(one, dict) else {}) for one in list_of(value))


def list_of_events_from_json(value: Any) -> tuple[Event, ...]:
    """Parse a reply that is a list of events."""
    if not isinstance(value, list | None):
        raise MalformedError("a list of events")
    return events_from_json(value)


def exit_from_json(request: Any) -> Exit | None:
    """Return how the command ended; None if the event's `request` has no exit event."""
    if not isinstance(request, dict):
        return None
    monitor = request.get("MonitorEvent")
    found = monitor.get("exit_event") if isinstance(monitor, dict) else None
    found = found if isinstance(found, dict) else request.get("exit_event")
    if not isinstance(found, dict):
        return None
    try:
        flags = {name: _flag(found, name) for name in _FLAGS}
        return Exit(code=_code(found), signal=_signal(found), error=_error(found), **flags)
    except _NotUnderstoodError as not_understood:
        # Unless "restarting" is certain, the run counts as ended.
        return Exit(
            code=_NOT_KNOWN,
            error=str(not_understood),
            requested_stop=found.get("requested_stop") is True,
            restarting=found.get("restarting") is True,
        )


def _code(found: Mapping[str, Any]) -> int:
    """Return the exit code.

    A missing one is 0, as some replies omit zeros; null is refused. The guest's own code is 0 for a process that the
    kernel killed, so it counts only if the other is 0 or missing.
    """
    code = _integer(found, _CODE) if _CODE in found else 0
    guest = found.get(_GUEST_CODE)
    return code if code or guest is None else _integer(found, _GUEST_CODE)


def _signal(found: Mapping[str, Any]) -> int | None:
    """Return the guest's signal, else the machine's; 0, -1 and null mean none."""
    signals = [_integer(found, name) for name in ("guest_signal", "signal") if found.get(name) is not None]
    return next((signal for signal in signals if signal > 0), None)


def _error(found: Mapping[str, Any]) -> str | None:
    value = found.get("error")
    if value is None or isinstance(value, str):
        return value or None
    raise _NotUnderstoodError("the platform's `error` is not understood")


def _integer(found: Mapping[str, Any], name: str) -> int:
    value = found[name]
    if isinstance(value, int) and not isinstance(value, bool) and value in _CODES:
        return value
    raise _NotUnderstoodError(f"the platform's `{name}` is not understood")


def _flag(found: Mapping[str, Any], name: str) -> bool:
    value = found.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _NotUnderstoodError(f"the platform's `{name}` is not understood")


def _event(event: Mapping[str, Any]) -> Event:
    timestamp = event.get("timestamp")
    kind, event_id = event.get("type"), text_of(event.get("id"))
    is_understood = isinstance(kind, str) and event_id
    return Event(
        id=event_id if is_understood else "",
        type=text_of(kind) if is_understood else "",
        status=text_of(event.get("status")),
        source=text_of(event.get("source")),
        timestamp_ms=int(timestamp) if isinstance(timestamp, int | float) and 0 <= timestamp < _END_OF_TIME_MS else 0,
        exit=exit_from_json(event.get("request")) if kind == "exit" else None,
    )
