"""What is equal for all machines of a pool is worked out once for the pool, however many machines there are."""

from datetime import UTC, datetime

import pytest

from reconciler.canonical import digest
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan
from tests.support.world import app_spec

AT = datetime(2026, 1, 2, tzinfo=UTC)


def as_applied(spec: Spec) -> Observed:
    pool = spec.pools[0]
    applied = digest.digest_of(pool.config)
    machines = []
    for slot in pool.slots:
        of_slot = {marks.STACK: spec.stack, marks.POOL: pool.name, marks.SLOT: slot.name, marks.APPLIED: applied}
        metadata = {**of_slot, marks.ANCHOR: "work-iad-0"}
        machines.append(
            Machine(
                app=pool.app,
                id=slot.name,
                name=slot.name,
                state=MachineState.STOPPED,
                region=slot.region,
                version="1",
                config=pool.config.with_metadata(metadata),
            )
        )
    return Observed(apps={pool.app: ObservedApp(name=pool.app, exists=True, machines=tuple(machines))}, at=AT)


def test_the_config_of_a_pool_is_hashed_as_often_for_many_machines_as_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    hash_of = digest._hash

    def counted(value: object) -> str:
        hashed.append(value)
        return hash_of(value)

    monkeypatch.setattr(digest, "_hash", counted)
    counts = []
    for number in (2, 50):
        spec = app_spec(f"    tasks: {{work: {{command: [run], count: {number}}}}}\n")
        observed = as_applied(spec)
        hashed.clear()
        made = plan(spec, observed)
        assert (made.has_changes, len(made.changes)) == (False, number)
        counts.append(len(hashed))
    assert counts[0] == counts[1]
