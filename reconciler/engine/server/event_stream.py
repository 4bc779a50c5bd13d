"""What happens in the engine, as it happens, for a person who looks: machines and log lines, one JSON object a line.

A reader who is slow costs nothing: what it has missed is told by how things are by then.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from reconciler.engine.engine import Engine
from reconciler.engine.http import serializers
from reconciler.engine.machines.wait import ANY
from reconciler.engine.models import LogEntry, Machine

_LINES_AT_ONCE: Final = 500
_HEARTBEAT_S: Final = 15.0
_EVENTS: Final = 12
_LONGEST_LINE: Final = 4000


async def stream_events(engine: Engine) -> AsyncIterator[str]:
    """All machines that live, then `{"ready": true}`, then each that changes and each line that is written; an empty
    line now and then. Ends with the engine.
    """
    changed: dict[str, None] = {}
    unfollow = engine.subscribe(lambda machine: changed.update({machine.id: None}))
    number = engine.store.log_table.newest()
    try:
        for machine in engine.store.machines():
            if not machine.is_destroyed:
                yield _line({"machine": _machine_json(engine, machine)})
        yield _line({"ready": True})
        while not engine.watchers.is_closing:
            if not await engine.watchers.until(ANY, lambda: bool(changed) or None, _HEARTBEAT_S):
                yield "\n"
                continue
            told = list(changed)
            changed.clear()
            for machine_id in told:
                if found := engine.store.machine(machine_id):
                    yield _line({"machine": _machine_json(engine, found)})
            while entries := engine.store.log_table.since(number, _LINES_AT_ONCE):
                number = entries[-1].sequence
                yield "".join(_line({"log": _log_json(entry)}) for entry in entries)
    finally:
        unfollow()


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _machine_json(engine: Engine, machine: Machine) -> dict[str, Any]:
    """What a person looks for, and no values of variables, files or metadata."""
    body = serializers.machine_json(machine, None, is_summary=True, check_results=engine.check_results.of(machine))
    keys = ("id", "name", "state", "region", "version", "created_at", "updated_at", "cordoned")
    check_results = engine.check_results.of(machine) or {}
    return {key: body[key] for key in keys} | {
        "app": machine.app,
        "image": str(machine.config.get("image") or ""),
        "starts": machine.runs,
        "checks": [{"name": name, "status": one.status, "output": one.output} for name, one in check_results.items()],
        "events": [serializers.event_json(event) for event in machine.events[:_EVENTS]],
    }


def _log_json(entry: LogEntry) -> dict[str, Any]:
    return {
        "machine": entry.machine_id,
        "stream": entry.stream or entry.provider,
        "at_ms": entry.timestamp_ns // 1_000_000,
        "message": entry.message[:_LONGEST_LINE],
    }
