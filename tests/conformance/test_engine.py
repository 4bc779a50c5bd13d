"""The local engine is what we assume, with every delay; what it turns around is found."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.conformance.catalogue import AT_ONCE, MACHINES, MINUTES, PROBES
from reconciler.conformance.states import ENDS, ROWS
from reconciler.engine.faults.settings import LATENCIES, Behaviour, Settings
from reconciler.engine.machines.call_rules import CALL_RULES
from reconciler.model.conformance import Verdict
from tests.support.examined import Examiner, differing, named
from tests.support.world import open_world

# What no call can try.
UNTRIED = {"A2", "A12", "A13"}


def of_group(group: str) -> list[str]:
    return [probe.name for probe in PROBES if probe.group == group]


@pytest.mark.parametrize("latency", LATENCIES)
async def test_the_engine_is_what_we_assume_and_nothing_is_left(latency: str) -> None:
    async with open_world(Settings(latency=LATENCIES[latency], limits_rates=latency == "fly")) as world:
        examiner = Examiner(world, paced=latency == "fly")
        at_once: set[int] = set()

        def count(_request: object) -> None:
            at_once.add(sum(not machine.is_destroyed for machine in world.engine.store.machines("probe")))

        world.transport.before = count
        found = await examiner.examine()
        assert differing(found) == set()
        untried = {result.name for result in found.of(Verdict.UNTRIED)}
        windows = {name for name in of_group("state") if "replacing" in name or "created" in name}
        assert untried - windows == UNTRIED
        assert latency == "none" or untried == UNTRIED
        assert found.is_conforming
        assert found.machines <= MACHINES
        assert max(at_once) <= AT_ONCE
        assert latency != "fly" or found.duration_s < MINUTES * 60
        await examiner.clock.sleep(60)
        assert examiner.has_left_nothing


async def test_lists_that_are_some_seconds_old_are_no_difference() -> None:
    async with open_world(Settings(latency=replace(LATENCIES["small"], list_lag_s=4))) as world:
        names = ("pages", "leases in lists", "filter by metadata", "list")
        assert differing(await Examiner(world).examine(named(*names))) == set()


async def test_a_new_app_that_is_not_known_everywhere_is_waited_for() -> None:
    async with open_world(Settings(latency=replace(LATENCIES["small"], propagate_s=20))) as world:
        found = await Examiner(world).examine(named("A1", "A5"))
        assert [result.verdict for result in found.results] == [Verdict.HOLDS, Verdict.HOLDS]


def test_each_assumption_and_each_call_of_the_table_is_tried() -> None:
    assert of_group("assumption") == [f"A{number}" for number in range(1, 20)]
    tried = {call for calls in ROWS.values() for call in calls} | {call for _state, call in ENDS}
    assert tried == {row.call for row in CALL_RULES}
    names = [probe.name for probe in PROBES]
    assert len(names) == len(set(names))


async def test_what_a_server_may_do_either_way_is_no_difference() -> None:
    behaviour = Behaviour(tells_instance_id=False, events_shown=5, fills_pages=False)
    async with open_world(Settings(behaviour=behaviour)) as world:
        names = of_group("assumption") + of_group("answer")
        assert differing(await Examiner(world).examine(named(*names))) == set()


STALE = {"stale_version_status": 400}
TURNED: tuple[tuple[dict[str, Any], set[str]], ...] = (
    ({"tells_lease_description": False}, {"A1"}),
    ({"heeds_from_event_id": False}, {"A3"}),
    ({"drops_omitted_metadata": False}, {"A4"}),
    ({"metadata_limit_bytes": 4000}, {"A5"}),
    ({"keeps_user_config": False}, {"A6"}),
    ({"stale_version_status": None}, {"A7"}),
    (STALE, {"A7"}),
    ({"refuses_bare_delete": False}, {"A8"}),
    ({"tells_previous_state": False}, {"A9"}),
    ({"takes_expired_nonce": False}, {"A10"}),
    ({"enforces_names": False}, {"A11"}),
    ({"exit_event_lag_s": 2.0}, {"A14"}),
    ({"takes_metadata_at_rest": False}, {"A16"}),
    ({"settles_created": False}, {"skip_launch"}),
)


@pytest.mark.parametrize(("turned", "names"), TURNED, ids=lambda value: next(iter(value)))
async def test_an_assumption_that_is_turned_around_is_named(turned: dict[str, Any], names: set[str]) -> None:
    behaviour = replace(Behaviour(), **turned)
    async with open_world(Settings(behaviour=behaviour)) as world:
        examiner = Examiner(world)
        probes = named(*of_group("assumption"), "skip_launch", "restart when stopped", "stop when started")
        assert differing(await examiner.examine(probes)) == names
        assert examiner.has_left_nothing
