"""An approved plan is cut off at every request of its apply, and resumed with the same approval to its end.

An app is created, machines are created, updated, replaced and destroyed, settings and marks are written. What was
approved is a saved plan, the set of its changes, or the plan's hash alone.
"""

import os
from contextlib import suppress

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model.change import Action
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from tests.support.approvals import ALLOWED, WAYS, apply_approved
from tests.support.copies import Copies
from tests.support.faults import FAULTS
from tests.support.world import World, app_text, spec_of

pytestmark = pytest.mark.slow

KILL = "killed"
IS_EXPLORING = bool(os.environ.get("RECONCILER_EXPLORE"))
STRIDE = 1 if IS_EXPLORING else 9
STRUCK = [KILL, *FAULTS] if IS_EXPLORING else [KILL, "reset after"]
OTHER = """
  other:
    image: i
    tasks:
      first: {command: [exit, '0'], count: 2}
"""
BEFORE = app_text("""
    tasks:
      kept: {command: [exit, '0'], count: 2, timeout: 10m}
      changed: {command: [exit, '1'], count: 2, timeout: 10m}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_1, path: /data}]}}
      gone: {command: [exit, '3'], count: 2}
      fewer: {command: [exit, '6'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 0s}}
""")
AFTER = (
    app_text("""
    tasks:
      kept: {command: [exit, '0'], count: 2, timeout: 20m, protect: true}
      changed: {command: [exit, '4'], count: 2, timeout: 20m, metadata: {team: web}}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_2, path: /data}]}}
      added: {command: [exit, '5'], count: {iad: 1, ams: 1}}
      fewer: {command: [exit, '6'], count: 1}
    services:
      web: {command: [run, '100000000'], count: 2, env: {NEW: '1'}, rollout: {min_healthy: 0s}}
""")
    + OTHER
)
DONE = {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DESTROY, Action.SETTINGS}


async def prepare(world: World) -> Spec:
    world.add_volumes("vol_1", "vol_2")
    assert (await world.apply(spec_of(BEFORE), revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    world.transport.before = lambda _request: world.assert_unique_names()
    return spec_of(AFTER)


@pytest.mark.parametrize("fault", STRUCK)
@pytest.mark.parametrize("way", WAYS)
async def test_an_approved_plan_that_is_cut_off_anywhere_is_resumed_to_its_end(
    world: World, way: str, fault: str
) -> None:
    spec = await prepare(world)
    plan = await world.plan(spec, allow_destroy=ALLOWED)
    assert {change.action for change in plan.effective} == DONE
    assert plan.apps
    consent = WAYS[way](plan, spec)
    with Copies(stride=STRIDE, first=sum(map(ord, way + fault)) % STRIDE) as copies:
        if fault == KILL:
            await copies.kill(world, apply_approved(world, spec, consent, revision=numbered(2)))
        else:
            with suppress(ReconcilerError), copies.strike(world, fault):
                await apply_approved(world, spec, consent, revision=numbered(2))
        world.transport.relent()
        await world.context.clock.sleep(400)
        report = await apply_approved(world, spec, consent, revision=numbered(2))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert not (await world.plan(spec)).has_changes
        again = await apply_approved(world, spec, consent, revision=numbered(2))
        assert again.is_nothing_left
        assert len(world.machines()) == 10
        assert len(world.machines("other")) == 2
    assert copies.made >= 20 / STRIDE
