"""Stacks of any size, and what the platform answers about them right after they were applied."""

import json
from datetime import UTC, datetime
from typing import Any

from reconciler.canonical.digest import digest_of, section_digests
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import App, Spec
from reconciler.spec import load_spec

IN_EACH_APP = 100
_EVENTS = [
    {"id": f"E{number}", "type": kind, "status": "stopped", "source": "flyd", "timestamp": 1_795_000_000_000 + number}
    for number, kind in enumerate(("exit", "start", "exit", "start", "launch"))
]


def spec_of(count: int, *, tag: str = "1") -> Spec:
    """A spec of so many machines, a hundred in each app."""
    apps = "\n".join(
        f"  app-{number}: {{image: 'registry.example/a:{tag}', env: {{A: '1', B: '2', C: '3'}},"
        f" tasks: {{work: {{command: [run, '{number}'], count: {min(count, IN_EACH_APP)}}}}}}}"
        for number in range(max(1, count // IN_EACH_APP))
    )
    return loaded(f"version: 1\nname: bench\napps:\n{apps}\n")


def text_of(*, apps: int, in_each: int) -> str:
    """The text of a spec of so many apps, each with one task of so many machines."""
    task = f"{{command: [run], count: {in_each}}}"
    members = "".join(f"  app-{number}: {{image: i, tasks: {{work: {task}}}}}\n" for number in range(apps))
    return f"version: 1\nname: bench\napps:\n{members}"


def loaded(text: str) -> Spec:
    return load_spec(text, file="bench.yaml", environment={})


def observed_of(spec: Spec) -> Observed:
    """What the platform shows right after the spec was applied."""
    return Observed(apps={app.name: observed_app(spec, app) for app in spec.apps}, at=datetime.now(UTC))


def observed_app(spec: Spec, app: App, first: int = 0, limit: int | None = None) -> ObservedApp:
    machines = []
    for pool in app.pools:
        digest, fields = digest_of(pool.config), section_digests(pool.config)
        for slot in pool.slots[first:][:limit]:
            metadata = {
                marks.STACK: spec.stack,
                marks.POOL: pool.name,
                marks.SLOT: slot.name,
                marks.APPLIED: digest,
                marks.FIELDS: fields,
            }
            machine = Machine(
                app=slot.app,
                id=f"m{slot.name}",
                name=slot.name,
                state=MachineState.STOPPED,
                region=slot.region,
                version="01",
                config=pool.config.with_metadata(metadata),
            )
            machines.append(machine)
    return ObservedApp(name=app.name, exists=True, machines=tuple(machines))


def list_answer(spec: Spec, app: App, first: int = 0, limit: int | None = None, *, is_changed: bool = False) -> bytes:
    """What the platform answers to the list of the app.

    With `is_changed` the last machine has a variable of someone else's.
    """
    listed: list[dict[str, Any]] = []
    for machine in observed_app(spec, app, first, limit).machines:
        assert machine.config
        listed.append(
            {
                "id": machine.id,
                "name": machine.name,
                "state": "stopped",
                "region": machine.region,
                "instance_id": "01KAZ0000000000000000000AA",
                "created_at": "2026-11-25T10:00:00Z",
                "config": dict(machine.config.document) | {"dns": {}, "rootfs": {"persist": "never"}},
                "events": _EVENTS,
            }
        )
    if is_changed:
        changed = listed[-1]["config"]
        changed["env"] = changed["env"] | {"LEVEL": "debug"}
    return json.dumps(listed).encode()


def next_cursor(app: App, first: int, limit: int) -> str | None:
    """The cursor of the page after the one that begins there; None if that is the last."""
    total = sum(len(pool.slots) for pool in app.pools)
    return str(first + limit) if first + limit < total else None
