"""Bringing a machine to rest under a lease that is held."""

from typing import Final

from reconciler.canonical.durations import nanoseconds
from reconciler.model.machine import Machine, MachineState
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.wait import wait_until

_KILL_AFTER_S: Final = 5.0  # where the config does not say
_LONGEST_KILL_AFTER_S: Final = 300.0
_AFTER_KILL_S: Final = 60.0


def stop_limit_s(machine: Machine) -> float:
    """Return how long a machine that was told to stop is waited for: until its kill, and a while."""
    told_ns = nanoseconds(machine.config.stop_config.get("timeout")) if machine.config else None
    kill_after_s = told_ns / 1e9 if isinstance(told_ns, int) and told_ns > 0 else _KILL_AFTER_S
    return min(kill_after_s, _LONGEST_KILL_AFTER_S) + _AFTER_KILL_S


async def stop_and_wait(context: Context, lease: HeldLease, live: Machine, *, timeout_s: float) -> Machine | None:
    """Stop the machine and return it once it is stopped; None where it is not within `timeout_s`."""
    await context.client.stop_machine(live.app, live.id, nonce=lease.guard())
    return await wait_until(
        context,
        live,
        lambda seen: seen.state is MachineState.STOPPED,
        states=(MachineState.STOPPED,),
        timeout_s=timeout_s,
    )
