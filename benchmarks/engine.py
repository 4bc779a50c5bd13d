"""The local engine: its rate and its start against the baseline commit's; calls against a bare Starlette route; runs
against bare subprocesses. All in turn, each server and the client in processes of their own.
"""

import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.figure import Figure, at_least, at_most, under
from benchmarks.measure import environment, said
from benchmarks.raw_client import request_text
from benchmarks.trees import ROOT, Tree, current_tree
from reconciler.engine.server.daemon import engine_status, read_token

CONNECTIONS = 10
CALLS = 2000
CREATES = 200
MACHINES = 1000
LISTS = 20
STARTS = 60
RUNS = 5
ENGINES = 7  # that are started in the row of starts
CONFIG = {"image": "i", "init": {"exec": ["true"]}, "restart": {"policy": "no"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Something that answers requests on loopback."""

    url: str
    token: str = ""

    def request(self, method: str, path: str, body: object = None) -> str:
        return request_text(method, path, token=self.token, body="" if body is None else json.dumps(body))

    def json(self, method: str, path: str, body: object = None) -> object:
        """One call by itself, and its answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def takes(self, jobs: list[list[str]], *, connections: int = CONNECTIONS) -> float:
        """The seconds of each job, where several connections share them."""
        place = urlsplit(self.url)
        asked = {"host": place.hostname, "port": place.port, "connections": connections, "jobs": jobs}
        line = [sys.executable, "-m", "benchmarks.raw_client"]
        return float(said(*line, env=environment(), cwd=ROOT, input=json.dumps(asked))) / len(jobs)


def engine_figures(bench: Bench) -> Iterator[Figure]:
    with ExitStack() as stack:
        ours = stack.enter_context(_engine(bench.current))
        machines = _machines(ours)
        if bench.baseline:
            theirs = stack.enter_context(_engine(bench.baseline))
            yield _rate(bench, ours, machines, theirs)
        yield from _calls(bench, ours, stack.enter_context(_bare_server()))
        yield from _starts(bench, ours, machines)
    if bench.baseline:
        yield _first_answer(bench, bench.baseline)


def _rate(bench: Bench, ours: Server, machines: list[str], theirs: Server) -> Figure:
    ours_s, theirs_s = _in_turn(bench, _gets(ours, machines), _gets(theirs, _machines(theirs)))
    return Figure(
        name="engine: GET of a machine, 10 connections",
        amount=1 / ours_s,
        baseline="the baseline",
        baseline_amount=1 / theirs_s,
        unit="/s",
        goal=at_least(4),
    )


def _gets(server: Server, machines: list[str]) -> Callable[[], float]:
    asked = [server.request("GET", f"/v1/apps/app/machines/{machine}") for machine in machines]
    jobs = [[asked[number % len(asked)]] for number in range(CALLS)]
    return lambda: server.takes(jobs)


def _calls(bench: Bench, engine: Server, bare: Server) -> Iterator[Figure]:
    """An app of their own for the creates, so that the list has a thousand."""
    engine.json("POST", "/v1/apps", {"name": "more", "org_slug": "personal"})
    numbers = iter(range(1_000_000))

    def create() -> float:
        bodies = ({"name": f"m-{next(numbers)}", "skip_launch": True, "config": CONFIG} for _ in range(CREATES))
        return engine.takes([[engine.request("POST", "/v1/apps/more/machines", body)] for body in bodies])

    lists = [[engine.request("GET", "/v1/apps/app/machines")]] * LISTS
    routes = [[bare.request("GET", "/")]] * CALLS
    create_s, list_s, route_s = _in_turn(bench, create, lambda: engine.takes(lists), lambda: bare.takes(routes))
    for name, taken_s in (("create", create_s), ("list of 1,000", list_s)):
        yield Figure(name=f"engine: {name}", amount=taken_s, baseline="a bare Starlette route", baseline_amount=route_s)


def _starts(bench: Bench, engine: Server, machines: list[str]) -> Iterator[Figure]:
    """From POST start to the answer of WAIT for stopped: one after the other, as the subprocesses are; then by ten."""
    jobs = [
        [
            engine.request("POST", f"/v1/apps/app/machines/{machine}/start"),
            engine.request("GET", f"/v1/apps/app/machines/{machine}/wait?state=stopped"),
        ]
        for machine in machines[:STARTS]
    ]
    program = f"""
import subprocess, time
began = time.perf_counter()
for _ in range({STARTS}):
    subprocess.run(["true"], check=True, capture_output=True)
print((time.perf_counter() - began) / {STARTS})
"""
    one_s, ten_s, bare_s = _in_turn(
        bench,
        lambda: engine.takes(jobs, connections=1),
        lambda: engine.takes(jobs),
        lambda: float(said(sys.executable, "-c", program, env=environment())),
    )
    for how, taken_s in (("", one_s), (f", {CONNECTIONS} connections", ten_s)):
        name = f"engine: start of true to stopped{how}"
        yield Figure(name=name, amount=taken_s, baseline="a bare subprocess", baseline_amount=bare_s, goal=under(3))


def _first_answer(bench: Bench, baseline: Tree) -> Figure:
    """Each time in a home that is new."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name) / "home"

        def empty() -> None:
            _stop(bench.current, home)
            shutil.rmtree(home, ignore_errors=True)

        try:
            return bench.compare(
                "engine: from `engine start` to its first answer",
                lambda: _start(bench.current, home).json("GET", "/v1/apps?org_slug=personal"),
                "the baseline",
                lambda: _start(baseline, home).json("GET", "/v1/apps?org_slug=personal"),
                goal=at_most(0.5),
                runs=ENGINES,
                before=empty,
            )
        finally:
            _stop(bench.current, home)


def _in_turn(bench: Bench, *measured: Callable[[], float]) -> list[float]:
    """The median of what each has measured itself, after once for nothing."""
    rounds = [[take() for take in measured] for _ in range(bench.runs(RUNS) + 1)]
    return [statistics.median(taken) for taken in zip(*rounds[1:], strict=True)]


def _machines(engine: Server) -> list[str]:
    """Create an app of a thousand machines; return their ids."""
    engine.json("POST", "/v1/apps", {"name": "app", "org_slug": "personal"})
    bodies = [{"name": f"m-{number}", "skip_launch": True, "config": CONFIG} for number in range(MACHINES)]
    engine.takes([[engine.request("POST", "/v1/apps/app/machines", body)] for body in bodies])
    listed = engine.json("GET", "/v1/apps/app/machines")
    assert isinstance(listed, list)
    return [machine["id"] for machine in listed]


@contextmanager
def _engine(tree: Tree) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        try:
            yield _start(tree, home)
        finally:
            _stop(tree, home)


def _start(tree: Tree, home: Path) -> Server:
    tree.runs("engine", "start", cwd=home.parent, env=environment(RECONCILER_HOME=str(home)))()
    url = engine_status(home).url
    assert url
    return Server(url=url, token=read_token(home))


def _stop(tree: Tree, home: Path) -> None:
    tree.runs("engine", "stop", cwd=home.parent, env=environment(RECONCILER_HOME=str(home)))()


@contextmanager
def _bare_server() -> Iterator[Server]:
    """The bare route in a process of its own, as the engine is in one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = f"-m uvicorn benchmarks.bare_route:app --port {port} --log-level error --no-access-log --lifespan off"
    process = subprocess.Popen([current_tree().python, *line.split()], cwd=ROOT, env=environment())
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        yield Server(url=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
