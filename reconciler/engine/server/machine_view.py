"""What the dashboard shows of a machine: pool, runs, and a masked config.

It decides what of a machine leaves the engine for the page. How that looks is the page's affair.
"""

from typing import Any, Final

from reconciler.engine.config.read import commands_of
from reconciler.engine.config.schema import CONFIG
from reconciler.engine.engine import Engine
from reconciler.engine.http import serializers
from reconciler.engine.models import Event, Machine

_SHOWN: Final = ("id", "name", "state", "region", "version", "created_at", "updated_at", "cordoned")
_EVENTS: Final = 12
_RUNS: Final = 20
# What the client writes on its machines, and flyctl on its own.
_POOL: Final = "reconciler_pool"
_KIND: Final = "reconciler_kind"
_PROCESS_GROUP: Final = "fly_process_group"
_MASK: Final = "***"
_VALUES: Final = frozenset({"raw_value", "values"})  # of files, and of HTTP headers


def machine_view(engine: Engine, machine: Machine) -> dict[str, Any]:
    """Return what the dashboard shows of a machine, as JSON."""
    import shlex

    check_results = engine.check_results.of(machine) or {}
    body = serializers.machine_json(machine, None, engine.settings.behaviour, is_summary=True)
    return {key: body[key] for key in _SHOWN} | {
        "app": machine.app,
        **_pool_of(machine),
        "image": str(machine.config.get("image") or ""),
        "command": " & ".join(shlex.join(command.words) for command in commands_of(machine.config)),
        "starts": machine.runs,
        "checks": [{"name": name, "status": one.status, "output": one.output} for name, one in check_results.items()],
        "events": [serializers.event_json(event) for event in machine.events[:_EVENTS]],
        "runs": _runs_of(machine.events)[:_RUNS],
        "config": _shown(machine.config, CONFIG),
    }


def _pool_of(machine: Machine) -> dict[str, str]:
    """Return the machine's pool and the pool's kind.

    It is our pool, else flyctl's process group, else empty.
    """
    metadata = machine.config.get("metadata") or {}
    if pool := metadata.get(_POOL):
        return {"pool": pool, "kind": metadata.get(_KIND) or "pool"}
    group = metadata.get(_PROCESS_GROUP)
    return {"pool": group, "kind": "process group"} if group else {"pool": "", "kind": ""}


def _runs_of(events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """Return the retained runs, newest first; times in milliseconds since 1970.

    One start is one run. `exit` is the payload of its exit event; None while it runs, or where none was reported.
    """
    runs: list[dict[str, Any]] = []
    for event in reversed(events):
        if event.type == "start":
            runs.append({"started": event.timestamp_ms, "ended": None, "exit": None})
        elif event.type == "exit" and runs and runs[-1]["exit"] is None:
            exit_event = (event.request or {}).get("exit_event") or {}
            runs[-1] |= {"ended": event.timestamp_ms, "exit": exit_event}
    return runs[::-1]


def _shown(value: Any, shape: Any) -> Any:
    """Return the part of a config with a mask for each value that may be secret.

    Shown is what the API's own fields say. Values of variables, metadata, files, headers and unknown fields are not.
    """
    if isinstance(value, dict) and isinstance(shape, dict):
        return {key: _member(key, one, shape) for key, one in value.items()}
    if isinstance(value, list) and isinstance(shape, list):
        return [_shown(one, shape[0]) for one in value]
    return value


def _member(key: str, value: Any, shape: dict[Any, Any]) -> Any:
    """Return a member of a map, masked if its shape does not name it.

    The members of `env`, say, may have any name.
    """
    inner = shape.get(key, shape.get(...))
    is_known = key in shape or isinstance(inner, dict)
    return _shown(value, inner) if is_known and key not in _VALUES else _masked(value)


def _masked(value: Any) -> Any:
    """Return the value with a mask for each text and number in it."""
    if isinstance(value, dict):
        return {key: _masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return value if value is None else _MASK
