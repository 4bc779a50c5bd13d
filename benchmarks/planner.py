"""The planner alone at three sizes, and a plan from the platform's own answers to the text that is shown.

Each size is a process of its own, since its memory counts too. Two sizes run in turn, and of each the best time counts:
what else the computer does would show in a ratio of one to ten.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx

from benchmarks.answers import list_answer, loaded, next_cursor, observed_of, spec_of, text_of
from benchmarks.bench import Bench
from benchmarks.figure import Figure, under
from benchmarks.measure import environment, said
from benchmarks.trees import ROOT
from reconciler.cli.__main__ import FEW_COLLECTIONS
from reconciler.clock import SystemClock
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.observe import observe_each
from reconciler.machines_api.wire import machines_from_json
from reconciler.model.machine import ObservedApp
from reconciler.model.spec import App, Spec
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import Planner, plan
from reconciler.render.text import plan_text

RUNS = 3
ROUNDS = 2
SIZES = (10_000, 100_000)
PAGED = (1_000, 10_000)


def planner_figures(bench: Bench) -> Iterator[Figure]:
    ten, hundred = _in_turn("alone", bench.runs(ROUNDS))
    seconds, size = ten["seconds"], ten["megabytes"]
    yield Figure(
        name="planner, 10,000 machines", amount=seconds, baseline="1.5 s", baseline_amount=1.5, goal=under(1.0)
    )
    yield Figure(
        name="planner, 10,000 machines", amount=size, unit="MB", baseline="300 MB", baseline_amount=300, goal=under(1.0)
    )
    name, baseline = "planner, 100,000 machines", "10,000 machines"
    yield Figure(name=name, amount=hundred["seconds"], baseline=baseline, baseline_amount=seconds, goal=under(10.5))
    yield Figure(name=name, amount=hundred["megabytes"], unit="MB", baseline=baseline, baseline_amount=size)
    small, large = _in_turn("stream", bench.runs(ROUNDS))
    name = "JSON of 1,000 apps' lists to a plan's text, 100,000 machines"
    yield Figure(
        name=name, amount=large["seconds"], baseline=baseline, baseline_amount=small["seconds"], goal=under(10.5)
    )
    yield Figure(name=name, amount=large["megabytes"], unit="MB", baseline=baseline, baseline_amount=small["megabytes"])
    page, pages = (_measured("pages", count)["megabytes"] for count in PAGED)
    name, baseline = "one app's list in pages to a plan, 10,000 machines", "1,000 machines"
    yield Figure(name=name, amount=pages, unit="MB", baseline=baseline, baseline_amount=page, goal=under(1.25))


def _in_turn(what: str, count: int) -> list[dict[str, float]]:
    """Seconds and megabytes of each size."""
    rounds = [[_measured(what, size) for size in SIZES] for _ in range(count)]
    return [{key: min(one[key] for one in found) for key in found[0]} for found in zip(*rounds, strict=True)]


def _measured(what: str, count: int) -> dict[str, float]:
    line = [sys.executable, "-m", "benchmarks.planner", what, str(count)]
    found: dict[str, float] = json.loads(said(*line, env=environment(), cwd=ROOT))
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
        answer = list_answer(spec, app, is_changed=True)
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
    spec = loaded(text_of(apps=1, in_each=count))
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
    after = next_cursor(app, first, limit)
    headers = {"fly-next-cursor": after} if after else {}
    return httpx.Response(200, content=list_answer(spec, app, first, limit), headers=headers)


if __name__ == "__main__":
    gc.set_threshold(FEW_COLLECTIONS)  # as the command does
    seconds = {"alone": alone, "stream": stream, "pages": pages}[sys.argv[1]](int(sys.argv[2]))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": megabytes}))
