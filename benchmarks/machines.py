"""A plan of a thousand machines, an apply that makes a hundred, and one at the platform's pace: as whole processes,
against the same calls by plain httpx.
"""

import itertools
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure import Figure, under
from benchmarks.home import Home, open_home

# As our own command does it, each program imports httpx without the command `httpx`.
_HTTPX = """
import sys, types
sys.modules["httpx._main"] = types.ModuleType("httpx._main")
sys.modules["httpx._main"].main = lambda: None
import httpx
"""
LIST = (
    _HTTPX
    + """
import os
headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
with httpx.Client(headers=headers, trust_env=False) as http:
    machines = http.get(os.environ["URL"] + "/b/machines", timeout=60).json()
assert len(machines) == 1000
"""
)
DUMP = (
    _HTTPX
    + """
import json, os
headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
machines = httpx.get(os.environ["URL"] + "/b/machines", headers=headers, trust_env=False).json()
bodies = [{"skip_launch": True} | {key: one[key] for key in ("name", "region", "config")} for one in machines]
json.dump(bodies, open("bodies.json", "w"))
"""
)
CREATE = (
    _HTTPX
    + """
import asyncio, json, os, sys
app, bodies = sys.argv[1], json.load(open("bodies.json"))

async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)
    async with httpx.AsyncClient(headers=headers, limits=limits, trust_env=False, timeout=60) as http:
        url = os.environ["URL"]
        (await http.post(url, json={"name": app, "org_slug": "personal"})).raise_for_status()
        replies = await asyncio.gather(*(http.post(f"{url}/{app}/machines", json=body) for body in bodies))
        assert all(reply.status_code == 200 for reply in replies)

asyncio.run(main())
"""
)
LIST_EACH = (
    _HTTPX
    + """
import asyncio, os

async def main():
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)
    async with httpx.AsyncClient(headers=headers, limits=limits, trust_env=False, timeout=60) as http:
        paths = [f"{os.environ['URL']}/b-{number}/machines" for number in range(200)]
        replies = await asyncio.gather(*(http.get(path) for path in paths))
        assert all(len(reply.json()) == 1 for reply in replies)

asyncio.run(main())
"""
)
SPEC = """version: 1
name: b
apps:
  b:
    name: ${{APP:-b}}
    image: i
    tasks: {{ok: {{command: ["true"], count: {}}}}}
"""
PACED = 15


def machine_figures(bench: Bench) -> Iterator[Figure]:
    with open_home(SPEC.format(1000)) as home:
        home.command("apply", "--yes")()
        yield bench.compare(
            "plan of 1,000 machines, no changes",
            home.command("plan"),
            "one list by Python and httpx",
            home.python(LIST),
            goal=under(3.0),
        )
    with open_home(_many_apps()) as home:
        home.command("apply", "--yes")()
        name, baseline = "plan of 200 apps, no changes", "their lists by httpx, 10 connections"
        yield bench.compare(name, home.command("plan"), baseline, home.python(LIST_EACH))
    with open_home(SPEC.format(100)) as home:
        yield _creates(bench, home)
    with open_home(SPEC.format(PACED)) as home:
        yield _paced(home)


def _many_apps() -> str:
    apps = "".join(f"  b-{number}: {{image: i, tasks: {{ok: {{command: ['true']}}}}}}\n" for number in range(200))
    return f"version: 1\nname: b\napps:\n{apps}"


def _creates(bench: Bench, home: Home) -> Figure:
    """Each run makes an app of its own."""
    home.command("apply", "--yes")()
    home.python(DUMP)()
    numbers = itertools.count()

    def apply() -> None:
        home.command("apply", "--yes", APP=f"ours-{next(numbers)}")()

    def plain() -> None:
        home.python(CREATE, f"plain-{next(numbers)}")()

    name = "apply of 100 creates, pacing off"
    return bench.compare(name, apply, "httpx posting the same bodies, 10 connections", plain, goal=under(3.0))


def _paced(home: Home) -> Figure:
    began = time.perf_counter()
    home.command("apply", "--yes", RECONCILER_RATE="fly")()
    took_s = time.perf_counter() - began
    name = f"apply of {PACED} creates in one app, at the platform's pace"
    return Figure(name=name, amount=took_s, baseline="a second each, less the burst of 3", baseline_amount=PACED - 3)
