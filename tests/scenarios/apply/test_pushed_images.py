"""An image that was just pushed, and that the platform does not know yet."""

import pytest

from reconciler.engine.faults.settings import Latency, Settings
from reconciler.model.report import Status
from tests.support.world import World, spec_of

DIGEST = "sha256:" + "a" * 64
SPEC = """
version: 1
name: stack
apps:
  app:
    image: registry.example/app@{digest}
    tasks: {{work: {{command: [exit, '0'], count: 2}}}}
"""
FIRST, SECOND = (spec_of(SPEC.format(digest=f"sha256:{letter * 64}")) for letter in "ab")


@pytest.mark.world(Settings(latency=Latency(manifest_s=90)))
async def test_it_is_waited_for_and_said_once(world: World) -> None:
    world.context.pushed.add([f"sha256:{letter * 64}" for letter in "ab"])
    for spec in (FIRST, SECOND):
        began = world.context.clock.monotonic()
        assert (await world.apply(spec)).is_success
        assert world.context.clock.monotonic() - began >= 90
        assert sum("does not know registry.example/app@" in line for line in world.said) == 1
        world.said.clear()
    leases = [request for request in world.transport.requests if request.endswith("/lease")]
    assert len(leases) > 4  # they were renewed meanwhile


@pytest.mark.world(Settings(latency=Latency(manifest_s=900)))
async def test_it_is_not_waited_for_without_end(world: World) -> None:
    world.context.pushed.add([DIGEST])
    report = await world.apply(FIRST)
    assert {entry.status for entry in report.entries} == {Status.FAILED, Status.SKIPPED}
    assert 100 < world.context.clock.monotonic() < 300


@pytest.mark.world(Settings(latency=Latency(manifest_s=90)))
async def test_another_image_is_not_waited_for(world: World) -> None:
    report = await world.apply(FIRST)
    assert {entry.status for entry in report.entries} == {Status.FAILED, Status.SKIPPED}
    assert world.context.clock.monotonic() < 20
