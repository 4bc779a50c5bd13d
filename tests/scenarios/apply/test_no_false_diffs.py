"""For every property of the OpenAPI document's machine config: set, applied, nothing to do; changed or removed, one
change. On the engine, which fills in, re-spells and decorates as the platform does.
"""

import json
from typing import Any

import pytest

from reconciler.canonical.normalize import canonical
from reconciler.model.change import Action, Cause
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from tests.support.config_properties import OF_A_SERVICE, OURS, PROPERTIES, Property
from tests.support.world import World, spec_of

pytestmark = pytest.mark.slow

REPLACING = "mounts[].volume"
# They come back beside every mount and cannot be changed by it: they are the volume's.
OF_THE_VOLUME = frozenset({"mounts[].encrypted", "mounts[].name", "mounts[].size_gb"})


def declared(lines: str = "", config: Any = None, *, kind: str = "tasks") -> Spec:
    config = json.dumps(config or {})
    text = f"version: 1\nname: s\napps:\n  app:\n    image: i:1\n    {kind}:\n      work:\n        config: {config}\n"
    return spec_of(text + (f"        {lines}\n" if lines else ""))


def variants(one: Property) -> list[Spec]:
    """Without the property where that can be, with one value, with another, and without it again."""
    if one.path in OURS:
        return [declared(), *(declared(lines) for lines in OURS[one.path]), declared()]
    kind = "services" if one.path == OF_A_SERVICE else "tasks"
    lines = "command: [run, '36000']" if one.path == OF_A_SERVICE else ""
    specs = [declared(lines, one.document(value), kind=kind) for value in one.values]
    bare = declared(lines, one.document(), kind=kind)
    return [bare, *specs, bare]


def changes(plan: Plan) -> list[Action]:
    return [change.action for change in plan.effective]


async def settle(world: World) -> None:
    await world.context.clock.sleep(10)


def test_every_property_has_values_that_differ() -> None:
    assert len(PROPERTIES) > 150
    for one in PROPERTIES:
        assert one.path in OURS or one.document() not in [one.document(value) for value in one.values], one.path


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.path)
async def test_a_property_that_is_set_makes_one_change_and_then_none(world: World, one: Property) -> None:
    specs = variants(one)
    world.add_volumes("a", "b", "x", "y", "vol_1", "vol_2")
    assert (await world.apply(specs[0])).is_success
    await settle(world)
    last = canonical(specs[0].pools[0].config)
    for spec in specs[1:]:
        plan = await world.plan(spec)
        if one.path in OF_THE_VOLUME:
            assert not plan.has_changes
            continue
        now = canonical(spec.pools[0].config)
        is_replaced = one.path == REPLACING or "mounts" in set(now) ^ set(last)
        assert changes(plan) == [Action.REPLACE if is_replaced else Action.UPDATE], one.path
        assert {field.cause for change in plan.effective for field in change.fields} <= {Cause.SPEC}
        report = await world.apply(spec)
        assert report.is_success, report
        await settle(world)
        again = await world.plan(spec)
        assert not again.has_changes, [(change.reason, change.fields) for change in again.effective]
        last = now
