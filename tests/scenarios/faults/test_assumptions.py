"""What is assumed about Fly, turned around one by one: still nothing is doubled, lost or killed.

Where an assumption carries something, the test says what is given up without it.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, NOT_SWITCHED, Behaviour, Settings, documented
from reconciler.errors import ApiError
from reconciler.model.report import Status
from reconciler.model.run import OutcomeName
from tests.support.faults import FAULTS
from tests.support.world import open_world, task_spec

pytestmark = pytest.mark.slow

# By switch, the value that turns the assumption around.
TURNED: dict[str, Any] = {
    "tells_lease_description": False,
    "heeds_from_event_id": False,
    "drops_omitted_metadata": False,
    "keeps_user_config": False,
    "stale_version_status": None,
    "refuses_bare_delete": False,
    "tells_previous_state": False,
    "takes_expired_nonce": False,
    "holds_name_while_destroying": False,
    "exit_event_lag_s": 2.0,
    "orders_event_ids": False,
    "settles_created": False,
    "enforces_names": False,
    "tells_instance_id": False,
    "events_shown": 1,
    "fills_pages": False,
}
# Without these the product does not do its work, and says so.
CARRIES: dict[str, Any] = {"metadata_limit_bytes": 10, "takes_metadata_at_rest": False}
# No assumption: a limit that an organization may have.
UNASSUMED = {"machines_per_region"}


def test_every_assumption_is_turned_around_here_or_named_as_not() -> None:
    switches = set(Behaviour.__struct_fields__) - UNASSUMED
    assert switches == set(TURNED) | set(CARRIES)
    numbered = {number for number, *_ in documented() if number} | set(NOT_SWITCHED)
    assert numbered == {f"A{number}" for number in range(1, 17)}


@pytest.mark.parametrize("latency", ["small", "fly"])
@pytest.mark.parametrize("switch", TURNED)
async def test_applying_invoking_and_changing_work_whichever_way_it_is(switch: str, latency: str) -> None:
    behaviour = replace(Behaviour(), **{switch: TURNED[switch]})

    async with open_world(Settings(latency=LATENCIES[latency], behaviour=behaviour)) as world:
        spec = task_spec("[say, hello, exit, '3']", extra="        metadata: {team: web}")
        assert (await world.apply(spec)).is_success
        await world.context.clock.sleep(10)
        run = await world.invoke(spec)
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.FAILED, 3)
        await world.context.clock.sleep(10)
        changed = task_spec("[run, '50', exit, '4']", count="3")
        assert (await world.apply(changed)).is_success
        await world.context.clock.sleep(10)
        running = await world.invoke(changed, is_waiting=False)
        assert running.outcome.name is OutcomeName.DETACHED
        again = task_spec("[exit, '5']", count="1")
        report = await world.apply(again)
        assert report.is_success, report
        assert world.runtime.most_at_once_on_a_machine == 1
        assert len(world.runtime.starts) == 2
        await world.context.clock.sleep(100)
        assert (await world.apply(again)).is_success
        await world.context.clock.sleep(10)
        assert not (await world.plan(again)).has_changes
        world.assert_unique_names()
        assert (await world.invoke(again)).outcome.exit_code == 5


async def test_without_room_for_marks_nothing_is_made() -> None:
    behaviour = Behaviour(metadata_limit_bytes=10)

    async with open_world(Settings(behaviour=behaviour)) as world:
        report = await world.apply(task_spec())
        assert not report.is_success
        assert {entry.status for entry in report.entries} <= {Status.FAILED, Status.SKIPPED}
        assert "metadata is larger than 10 bytes" in report.entries[0].detail
        assert world.machines() == []


async def test_where_no_record_can_be_written_no_run_starts() -> None:
    behaviour = Behaviour(takes_metadata_at_rest=False)

    async with open_world(Settings(behaviour=behaviour)) as world:
        spec = task_spec()
        await world.apply(spec)
        await world.context.clock.sleep(5)
        with pytest.raises(ApiError, match="machine is not started"):
            await world.invoke(spec)
        assert world.runtime.starts == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_lease_that_does_not_tell_its_holder_is_waited_out(fault: str) -> None:
    """Without A1 a lost reply to a lease is not told from someone else's lease: slower, and as safe."""
    settings = Settings(behaviour=Behaviour(tells_lease_description=False))

    async with open_world(settings) as world:
        await world.apply(task_spec(count="1"))
        spec = task_spec("[exit, '1']", count="1")
        world.transport.strike(fault, ahead=2)
        await world.apply(spec)
        world.transport.relent()
        await world.context.clock.sleep(120)
        assert (await world.apply(spec)).is_success
        assert not (await world.plan(spec)).has_changes
