"""The planner alone, at two sizes."""

from datetime import UTC, datetime

from benchmarks.measure import median_s
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import Spec
from reconciler.planner import digest_of, plan, section_digests
from reconciler.spec import load_spec

SPEC = """
version: 1
name: bench
apps:
  bench:
    image: registry.example/bench:{tag}
    env: {{A: '1', B: '2', C: '3'}}
    tasks:
      {tasks}
"""


def spec_of(count: int, *, tag: str = "1") -> Spec:
    pools = max(1, count // 100)
    tasks = "\n      ".join(f"pool-{number}: {{command: [run, '{number}'], count: 100}}" for number in range(pools))
    return load_spec(SPEC.format(tasks=tasks, tag=tag), file="bench.yaml", environment={})


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


def planner_figures() -> dict[str, float]:
    small, large = spec_of(1_000), spec_of(10_000)
    seen_small, seen_large = observed_of(small), observed_of(large)
    assert not plan(large, seen_large).has_changes
    small_s = median_s(lambda: plan(small, seen_small))
    large_s = median_s(lambda: plan(large, seen_large), runs=3)
    return {"planner: 10,000 machines / 1,000 machines": large_s / small_s, "planner: 10,000 machines, s": large_s}
