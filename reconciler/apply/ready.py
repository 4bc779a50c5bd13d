"""When a service's machine counts as up: started, and every declared health check passing.

One that may rest when it is idle may have come up and gone to rest before anyone looked: that is up too.
"""

from typing import Final

from reconciler.model.machine import Machine, MachineState
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import read_machine, wait_until

READY_TIMEOUT_S: Final = 300.0
_CHECK_POLL_S: Final = 1.0


async def wait_ready(
    actor: Actor, machine: Machine, *, is_starting: bool, timeout_s: float = READY_TIMEOUT_S
) -> str | None:
    """None once the machine runs and its checks pass, else what is wrong, in words.

    `is_starting` where a create or a start was sent since the machine was seen like this.
    """
    deadline = actor.clock.monotonic() + timeout_s
    started: Machine | None = machine
    if is_starting or machine.state is not MachineState.STARTED:
        started = await wait_until(
            actor,
            machine,
            lambda seen: seen.state in {MachineState.STARTED, MachineState.FAILED} or has_gone_to_rest(seen),
            states=(MachineState.STARTED, MachineState.FAILED),
            timeout_s=timeout_s,
            version=machine.instance_id if is_starting else None,
        )
    if started is None or not (started.state is MachineState.STARTED or has_gone_to_rest(started)):
        state = started.state.value if started else "still on its way"
        return f"not running after its start: {state}"
    while not _is_up(started):
        if actor.clock.monotonic() >= deadline:
            failing = ", ".join(check.name for check in started.checks if check.status != "passing") or "no report"
            return f"its health checks do not pass: {failing}"
        await actor.clock.sleep(_CHECK_POLL_S)
        started = await read_machine(actor, started)
    return None


def _is_up(machine: Machine) -> bool:
    """Whether nothing is left to wait for, of a machine that was started."""
    if has_gone_to_rest(machine) or not (machine.config and machine.config.has_checks):
        return True
    # The list is empty right after a launch: nothing was reported is not the same as nothing is wrong.
    return bool(machine.checks) and all(check.status == "passing" for check in machine.checks)


def has_gone_to_rest(machine: Machine) -> bool:
    """Whether it was started, and then stopped or suspended because nobody asked for it; nothing of the sort where it
    ended by itself.

    Assumed: the proxy's stop shows in the exit as one that was asked for.
    """
    if not (machine.config and machine.config.may_rest and machine.state.is_resting):
        return False
    if not any(event.type == "start" for event in machine.events):
        return False
    if machine.state is MachineState.SUSPENDED:
        return True
    ended = next((event.exit for event in machine.events if event.exit), None)
    return machine.state is MachineState.STOPPED and ended is not None and ended.requested_stop
