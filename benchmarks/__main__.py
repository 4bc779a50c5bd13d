"""`make bench`: every figure as a ratio against a baseline of the same run, with the environment. Times nothing alone.

The machine that this runs on is not quiet, so each figure is the median of several runs.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import Spec
from reconciler.planner import digest_of, plan, section_digests
from reconciler.spec import load_spec

RUNS = 7
SPEC = """
version: 1
name: bench
apps:
  bench:
    image: registry.example/bench:1
    env: {{A: '1', B: '2', C: '3'}}
    tasks:
      {tasks}
"""


def spec_of(count: int) -> Spec:
    pools = max(1, count // 100)
    tasks = "\n      ".join(f"pool-{number}: {{command: [run, '{number}'], count: 100}}" for number in range(pools))
    return load_spec(SPEC.format(tasks=tasks), file="bench.yaml", environment={})


def observed_of(spec: Spec) -> Observed:
    machines = []
    for pool in spec.pools:
        digest, fields = digest_of(pool.config), section_digests(pool.config)
        for slot in pool.slots:
            metadata = {
                marks.STACK: spec.stack,
                marks.POOL: pool.name,
                marks.SLOT: slot.name,
                marks.APPLIED: digest,
                marks.FIELDS: fields,
            }
            machines.append(
                Machine(
                    app=slot.app,
                    id=f"m{slot.name}",
                    name=slot.name,
                    state=MachineState.STOPPED,
                    region=slot.region,
                    instance_id="01",
                    config=pool.config.with_metadata(metadata),
                )
            )
    app = ObservedApp(name="bench", exists=True, machines=tuple(machines))
    return Observed(apps={"bench": app}, at=datetime.now(UTC))


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def planner_figures() -> dict[str, float]:
    small, large = spec_of(1_000), spec_of(10_000)
    seen_small, seen_large = observed_of(small), observed_of(large)
    assert not plan(large, seen_large).has_changes
    small_s = median_s(lambda: plan(small, seen_small))
    large_s = median_s(lambda: plan(large, seen_large), runs=3)
    return {"planner: 10,000 machines / 1,000 machines": large_s / small_s, "planner: 10,000 machines, s": large_s}


def command_figures() -> dict[str, float]:
    """Whole processes against `python -c pass`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        spec = Path(home) / "machines.yaml"
        spec.write_text("version: 1\nname: b\napps: {b: {image: i, tasks: {ok: {command: ['true']}}}}\n")
        environment = os.environ | {"RECONCILER_HOME": f"{home}/engine", "RECONCILER_TARGET": "local"}

        def command(*arguments: str) -> Callable[[], object]:
            line = [sys.executable, "-m", "reconciler.cli", *arguments]
            return lambda: subprocess.run(line, check=True, cwd=home, env=environment, capture_output=True)

        try:
            command("apply", "--yes")()
            python_s = median_s(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
            return {
                f"{name} / python -c pass": median_s(command(*arguments)) / python_s
                for name, arguments in {
                    "--help": ["--help"],
                    "validate": ["validate"],
                    "plan": ["plan"],
                    "invoke of true": ["invoke", "ok"],
                }.items()
            }
        finally:
            command("engine", "stop")()


def main() -> int:
    figures = planner_figures() | command_figures()
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(machine)
    for name, value in figures.items():
        print(f"  {name:<45} {value:8.2f}")
    print(json.dumps({"environment": machine, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
