"""Read what the probes need of an answer, whichever way it is spelled."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from reconciler.machines_api.raw import Answer


def lease_of(answer: Answer) -> dict[str, Any]:
    """Return the lease in an answer, with or without its envelope."""
    data = answer.members.get("data")
    return data if isinstance(data, dict) else answer.members


def version_of(machine: Mapping[str, Any]) -> str:
    """Return the version of a machine, under either of its names."""
    return str(machine.get("version") or machine.get("instance_id") or "")


def exit_of(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an event says of an exit; None for other events."""
    request = event.get("request")
    if event.get("type") != "exit" or not isinstance(request, dict):
        return None
    monitor = request.get("MonitorEvent")
    found = monitor.get("exit_event") if isinstance(monitor, dict) else None
    found = found or request.get("exit_event")
    return found if isinstance(found, dict) else None


def since(events: Iterable[Any], known: Container[str]) -> list[dict[str, Any]]:
    """Return the events that were not known, in their order."""
    return [event for event in events if isinstance(event, dict) and str(event.get("id")) not in known]
