"""An image that was just pushed, and that the platform does not know yet."""

import asyncio
from pathlib import Path

import pytest

from reconciler.engine.faults.settings import Latency, Settings
from reconciler.machines_api.client import MachinesClient
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.report import Status
from reconciler.model.selection import WHOLE
from reconciler.operations.images import with_known_contents
from reconciler.operations.reviewed_images import look_up_as_reviewed
from reconciler.operations.saved_plans import bind
from reconciler.operations.session import Session
from reconciler.planner.desired import with_digests
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.context import Context
from reconciler.testing.virtual_time import VirtualClock
from tests.support.world import NO_IMAGES, TARGET, World, spec_of

DIGEST = "sha256:" + "a" * 64
SPEC = """
version: 1
name: stack
apps:
  app:
    image: registry.example/app@{digest}
    tasks: {{work: {{command: [exit, '0'], count: 2}}}}
"""
BUILT = """
version: 1
name: stack
apps:
  app:
    tasks: {work: {build: ., command: [exit, '0']}}
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


@pytest.mark.world(Settings(latency=Latency(manifest_s=90)))
async def test_an_apply_that_is_cancelled_in_the_wait_leaves_no_lease(world: World) -> None:
    world.context.pushed.add([f"sha256:{letter * 64}" for letter in "ab"])
    assert (await world.apply(FIRST)).is_success
    applying = asyncio.create_task(world.apply(SECOND))
    await world.context.clock.sleep(30)
    assert any(world.engine.leases.current(machine) for machine in world.machines())
    applying.cancel()
    await asyncio.gather(applying, return_exceptions=True)
    assert not any(world.engine.leases.current(machine) for machine in world.machines())


def test_what_a_saved_plan_names_by_its_digest_is_waited_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)
    spec, clock = spec_of(BUILT), VirtualClock()
    client = MachinesClient(base_url="http://127.0.0.1", token=None, clock=clock)
    session = Session(context=Context(client=client, clock=clock, who="someone"), target=TARGET, environment={})

    async def scenario() -> str:
        named, [job] = await with_known_contents(session, spec, NO_IMAGES)
        image = job.content.tagged
        digests = {image: DIGEST, "registry.example/other:1": f"sha256:{'b' * 64}"}
        looked_up = with_digests(named, digests)
        nothing = Observed(apps={"app": ObservedApp(name="app", exists=False)}, at=clock.now())
        saved = bind(
            make_plan(looked_up, nothing),
            looked_up,
            TARGET,
            selection=WHOLE,
            app=None,
            adopt=False,
            allow_destroy=None,
            images=digests,
        )
        found = await look_up_as_reviewed(session, spec, saved, NO_IMAGES)
        assert [pool.config.image for pool in found.spec.pools] == [f"{image}@{DIGEST}"]
        return image

    image = asyncio.run(scenario())
    assert session.context.pushed.holds(f"{image}@{DIGEST}")
    assert session.context.pushed.holds(f"registry.example/other:1@sha256:{'b' * 64}"), "the review has seen it there"
    assert not session.context.pushed.holds(f"registry.example/other:1@sha256:{'c' * 64}")


@pytest.mark.world(Settings(latency=Latency(manifest_s=900)))
async def test_it_is_not_waited_for_without_end(world: World) -> None:
    world.context.pushed.add([DIGEST])
    report = await world.apply(FIRST)
    assert {entry.status for entry in report.entries} == {Status.FAILED, Status.SKIPPED}
    assert 100 < world.context.clock.monotonic() < 300


@pytest.mark.world(Settings(latency=Latency(manifest_s=90)))
async def test_an_image_that_no_registry_told_of_is_not_waited_for(world: World) -> None:
    report = await world.apply(FIRST)
    assert {entry.status for entry in report.entries} == {Status.FAILED, Status.SKIPPED}
    assert world.context.clock.monotonic() < 20
