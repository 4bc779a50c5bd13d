"""Settle the machines that a killed engine left: their runs have ended."""

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.machines.exit_events import UNKNOWN_EXIT, exit_request
from reconciler.engine.machines.runner import Runner
from reconciler.engine.models import RESTING, RUNNING, Machine
from reconciler.engine.runtime.base import Ended, Leftover, Runtime
from reconciler.engine.store.store import Store


async def recover(store: Store, runner: Runner, runtime: Runtime, clock: Clock) -> None:
    """Record the ends of runs that nobody saw; restart machines with policy `always`.

    What still runs is killed by the runtime, which may know how some of the others ended. Raises sqlite3.Error.
    """
    unsettled = [
        machine
        for machine in store.machines()
        if not machine.is_destroyed and (machine.state not in RESTING or not machine.is_prepared or machine.pids)
    ]
    ends = await runtime.recover({one.id: Leftover(number=one.runs, pids=one.pids) for one in unsettled})
    for machine in unsettled:
        _settle(runner, machine, ends.get(machine.id, UNKNOWN_EXIT), now_ms(clock))
    for machine in store.machines():
        policy = (machine.config.get("restart") or {}).get("policy")
        if machine.state == "stopped" and machine.should_run and policy == "always":
            await runner.start(machine)


def _settle(runner: Runner, machine: Machine, ended: Ended, at_ms: int) -> None:
    """Record that the machine's run has ended, and that what was under way is done."""
    recorder, settled = runner.recorder, replace(machine, state="stopped", is_prepared=True, pids=())
    if machine.state == "suspended":
        recorder.save(replace(machine, pids=()))  # its next start is a cold one
    elif machine.state == "destroying":
        runner.record_destroyed(machine)
    elif machine.state in RUNNING:
        event = recorder.new_event("exit", "stopped", "flyd", exit_request(ended, at_ms))
        recorder.save(settled, event=event)
    else:
        recorder.save(settled)
