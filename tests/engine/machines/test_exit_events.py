"""What the end of a run means for its machine, as a pure decision."""

from typing import Any

import pytest

from reconciler.engine.machines.exit_events import restarts, settle
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Ended

OK, FAILED = Ended(code=0), Ended(code=3)


def machine(state: str = "started", **config: Any) -> Machine:
    return Machine(
        id="1",
        app="app",
        name="m",
        region="iad",
        state=state,
        instance_id="v",
        config=config,
        created_ms=0,
        updated_ms=0,
        should_run=True,
        pids=((7, 1),),
    )


@pytest.mark.parametrize(
    ("restart", "ended", "retries", "is_restarted"),
    [
        (None, FAILED, 0, True),
        (None, OK, 0, False),
        (None, FAILED, 9, True),
        (None, FAILED, 10, False),
        ({"policy": "on-failure", "max_retries": 2}, FAILED, 1, True),
        ({"policy": "on-failure", "max_retries": 2}, FAILED, 2, False),
        ({"policy": "always"}, OK, 1000, True),
        ({"policy": "no"}, FAILED, 0, False),
    ],
)
def test_the_policy_decides_whether_a_machine_restarts(
    restart: dict[str, Any] | None, ended: Ended, retries: int, is_restarted: bool
) -> None:
    config: dict[str, Any] = {} if restart is None else {"restart": restart}
    assert restarts(config, ended, retries) is is_restarted
    settled = settle(machine(**config), ended, 1, was_asked=False, retries=retries)
    assert settled.is_restarting is is_restarted
    assert settled.is_over is not is_restarted
    assert settled.machine.state == ("started" if is_restarted else "stopped")
    assert settled.machine.should_run is is_restarted
    assert settled.machine.pids == ()
    assert settled.request
    assert settled.request["restart_count"] == retries
    assert settled.request["exit_event"]["restarting"] is is_restarted


def test_a_stop_is_the_end_whatever_the_policy() -> None:
    settled = settle(machine("stopping", restart={"policy": "always"}), FAILED, 1, was_asked=True, retries=0)
    assert (settled.machine.state, settled.is_restarting, settled.is_over) == ("stopped", False, True)
    assert settled.request
    assert settled.request["exit_event"]["requested_stop"]


@pytest.mark.parametrize("state", ["destroying", "replacing", "restarting"])
def test_in_the_middle_of_another_call_only_the_event_is_new(state: str) -> None:
    settled = settle(machine(state, restart={"policy": "always"}), FAILED, 1, was_asked=True, retries=3)
    assert (settled.machine.state, settled.is_restarting, settled.is_over) == (state, False, False)
    assert settled.request
    assert settled.request["exit_event"]["requested_stop"] is (state == "restarting")


def test_a_suspended_machine_that_the_engines_end_kills_stays_suspended_without_an_event() -> None:
    settled = settle(machine("suspended"), Ended(code=137, signal=9), 1, was_asked=True, retries=0)
    assert (settled.machine.state, settled.machine.pids, settled.request) == ("suspended", (), None)


def test_the_event_spells_signals_and_codes_as_the_api_does() -> None:
    settled = settle(machine(), Ended(code=137, signal=9, oom_killed=True), 42, was_asked=False, retries=10)
    assert settled.request
    exited = settled.request["exit_event"]
    assert (exited["exit_code"], exited["guest_exit_code"], exited["guest_signal"]) == (137, 0, 9)
    assert (exited["oom_killed"], exited["exited_at"]) == (True, 42)
    settled = settle(machine(), FAILED, 42, was_asked=False, retries=10)
    assert settled.request
    assert (settled.request["exit_event"]["guest_exit_code"], settled.request["exit_event"]["signal"]) == (3, -1)
