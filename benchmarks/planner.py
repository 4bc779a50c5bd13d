"""The planner alone at three sizes, and a plan from the platform's own answers to the text that is shown.

Each size is a process of its own, since its memory counts too. Two sizes run in turn, and of each the best time counts:
what else the computer does would show in a ratio of one to ten.
"""

import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from benchmarks.measure import Figure
from reconciler.canonical.digest import digest_of, section_digests
from reconciler.cli.main import FEW_COLLECTIONS
from reconciler.clock import SystemClock
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.observe import observe_each
from reconciler.machines_api.wire import machines_from_json
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import App, Spec
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import Planner, plan
from reconciler.render.text import plan_text
from reconciler.spec import load_spec

IN_EACH_APP = 100
RUNS = 5
ROUNDS = 3
SIZES = (10_000, 100_000)
PAGED = (1_000, 10_000)
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
    return load_spec(f"version: 1\nname: bench\napps:\n{apps}\n", file="bench.yaml", environment={})


def observed_of(spec: Spec) -> Observed:
    """What the platform shows right after the spec was applied."""
    return Observed(apps={app.name: _observed(spec, app) for app in spec.apps}, at=datetime.now(UTC))


def planner_figures() -> Iterator[Figure]:
    ten, hundred = _in_turn("alone")
    seconds, size = ten["seconds"], ten["megabytes"]
    yield Figure(name="planner, 10,000 machines", amount=seconds, baseline="1.5 s", baseline_amount=1.5, goal=1.0)
    yield Figure(
        name="planner, 10,000 machines", amount=size, unit="MB", baseline="300 MB", baseline_amount=300, goal=1.0
    )
    name, baseline = "planner, 100,000 machines", "10,000 machines"
    yield Figure(name=name, amount=hundred["seconds"], baseline=baseline, baseline_amount=seconds, goal=10.5)
    yield Figure(name=name, amount=hundred["megabytes"], unit="MB", baseline=baseline, baseline_amount=size)
    small, large = _in_turn("stream")
    name = "JSON of 1,000 apps' lists to a plan's text, 100,000 machines"
    yield Figure(name=name, amount=large["seconds"], baseline=baseline, baseline_amount=small["seconds"], goal=10.5)
    yield Figure(name=name, amount=large["megabytes"], unit="MB", baseline=baseline, baseline_amount=small["megabytes"])
    page, pages = (_measured("pages", count)["megabytes"] for count in PAGED)
    name, baseline = "one app's list in pages to a plan, 10,000 machines", "1,000 machines"
    yield Figure(name=name, amount=pages, unit="MB", baseline=baseline, baseline_amount=page, goal=1.25)


def _in_turn(what: str) -> list[dict[str, float]]:
    """Seconds and megabytes of each size."""
    rounds = [[_measured(what, count) for count in SIZES] for _ in range(ROUNDS)]
    return [{key: min(one[key] for one in found) for key in found[0]} for found in zip(*rounds, strict=True)]


def _measured(what: str, count: int) -> dict[str, float]:
    line = [sys.executable, "-m", "benchmarks.planner", what, str(count)]
    found: dict[str, float] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return found


def alone(count: int) -> float:
    """The seconds of one plan without changes, of a snapshot that is there."""
    spec = spec_of(count)
    observed = observed_of(spec)
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        found = plan(spec, observed)
        times.append(time.perf_counter() - began)
        assert not found.has_changes
    return min(times)


def stream(count: int) -> float:
    """The seconds from the platform's answers, app by app, to the text; of each app one machine has changed."""
    spec = spec_of(count)
    planner, at, taken_s = Planner(spec.stack), datetime.now(UTC), 0.0
    for app in spec.apps:
        answer = _answer(spec, app)
        began = time.perf_counter()
        machines = machines_from_json(app.name, json.loads(answer))
        planner.add(app, ObservedApp(name=app.name, exists=True, machines=machines), at)
        taken_s += time.perf_counter() - began
    began = time.perf_counter()
    text = plan_text(planner.plan([app.name for app in spec.apps], observed_at=None), salt="s")
    taken_s += time.perf_counter() - began
    assert text.count("LEVEL") == 2 * len(spec.apps)
    return taken_s


def pages(count: int) -> float:
    """The seconds from a list that comes in pages to the plan of one app; none of its machines has changed."""
    task = f"{{command: [run], count: {count}}}"
    text = f"version: 1\nname: bench\napps: {{app: {{image: i, tasks: {{work: {task}}}}}}}\n"
    spec = load_spec(text, file="bench.yaml", environment={})
    planner, at = Planner(spec.stack), datetime.now(UTC)
    [app] = spec.apps

    async def take(observed: ObservedApp) -> None:
        planner.add(app, observed, at)

    async def plan_it() -> None:
        server = httpx.MockTransport(lambda request: _page(spec, app, request))
        async with MachinesClient(
            base_url="http://127.0.0.1/v1", token=None, clock=SystemClock(), user_agent="bench", transport=server
        ) as client:
            await observe_each(client, [app.name], take, reduce=needs_of(spec))

    began = time.perf_counter()
    asyncio.run(plan_it())
    assert not planner.plan([app.name], observed_at=at).has_changes
    return time.perf_counter() - began


def _page(spec: Spec, app: App, request: httpx.Request) -> httpx.Response:
    first, limit = int(request.url.params.get("cursor", "0")), int(request.url.params["limit"])
    total = sum(len(pool.slots) for pool in app.pools)
    headers = {"fly-next-cursor": str(first + limit)} if first + limit < total else {}
    return httpx.Response(200, content=_answer(spec, app, first, limit), headers=headers)


def _observed(spec: Spec, app: App, first: int = 0, limit: int | None = None) -> ObservedApp:
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


def _answer(spec: Spec, app: App, first: int = 0, limit: int | None = None) -> bytes:
    """What the platform answers to the list of the app.

    If it is the whole list, the last machine has a variable of someone else's.
    """
    listed: list[dict[str, Any]] = []
    for machine in _observed(spec, app, first, limit).machines:
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
    if limit is None:
        changed = listed[-1]["config"]
        changed["env"] = changed["env"] | {"LEVEL": "debug"}
    return json.dumps(listed).encode()


if __name__ == "__main__":
    gc.set_threshold(FEW_COLLECTIONS)  # as the command does
    seconds = {"alone": alone, "stream": stream, "pages": pages}[sys.argv[1]](int(sys.argv[2]))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": megabytes}))
