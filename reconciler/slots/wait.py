"""Wait for the effect of a write, and read it back: the reply is no proof."""

import asyncio
from collections.abc import Callable
from typing import Final

from reconciler.canonical.durations import nanoseconds
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.machine import Machine, MachineRef, MachineState
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease

SETTLE_TIMEOUT_S: Final = 300.0
_SLICE_S: Final = 55.0
_POLL_S: Final = 0.25
_LAST_LOOK_S: Final = 5.0
_KILL_AFTER_S: Final = 5.0  # the platform's default
_LONGEST_KILL_AFTER_S: Final = 300.0
_AFTER_KILL_S: Final = 60.0

SETTLED = (MachineState.STOPPED, MachineState.STARTED, MachineState.FAILED, MachineState.SUSPENDED)


async def wait_until(
    context: Context,
    machine: Machine | MachineRef,
    is_reached: Callable[[Machine], bool],
    *,
    states: tuple[MachineState, ...],
    timeout_s: float,
    version: str | None = None,
) -> Machine | None:
    """Return the machine once a GET satisfies `is_reached`; None after `timeout_s`.

    Between the GETs it WAITs for `states`; the reply to that is only a hint to GET again. A machine that is gone is
    returned as it is, in state DESTROYED. With `version`, which a write has just made, it WAITs before the first GET,
    as the machine is still changing then. A last GET that takes over five seconds is given up.
    """
    try:
        async with asyncio.timeout(timeout_s + _LAST_LOOK_S):
            return await _wait_until(context, machine, is_reached, states, timeout_s, version)
    except TimeoutError:
        return None


async def _wait_until(
    context: Context,
    machine: Machine | MachineRef,
    is_reached: Callable[[Machine], bool],
    states: tuple[MachineState, ...],
    timeout_s: float,
    version: str | None,
) -> Machine | None:
    deadline = context.clock.monotonic() + timeout_s

    async def park(version: str) -> bool:
        slice_s = min(_SLICE_S, max(1.0, deadline - context.clock.monotonic()))
        return await context.client.wait_machine(
            machine.app, machine.id, states=states, version=version, timeout_s=slice_s
        )

    if version:
        await park(version)
    while True:
        seen = await read_machine(context, machine)
        if is_reached(seen) or seen.state.is_gone:
            return seen
        if context.clock.monotonic() >= deadline:
            return None
        if not await park(seen.version) or seen.state in states:
            await context.clock.sleep(_POLL_S)  # no busy loop, should WAIT return at once


async def read_machine(context: Context, machine: Machine | MachineRef) -> Machine:
    """Read the machine; DESTROYED if the API no longer knows it."""
    seen = await read_by_id(context, machine.app, machine.id)
    return seen or machine.destroyed()


async def read_by_id(context: Context, app: str, machine_id: str) -> Machine | None:
    """Read the machine; None if the API does not know it."""
    try:
        return await context.client.get_machine(app, machine_id)
    except ApiError as error:
        if error.kind is ApiErrorKind.NOT_FOUND:
            return None
        raise


async def wait_settled(
    context: Context, machine: Machine, *, version: str | None = None, timeout_s: float = SETTLE_TIMEOUT_S
) -> Machine | None:
    """Return the machine once it has left all transient states; None if not in time.

    `version` as for `wait_until`.
    """
    return await wait_until(
        context,
        machine,
        lambda seen: seen.state in SETTLED,
        states=(MachineState.STOPPED, MachineState.STARTED, MachineState.FAILED),
        timeout_s=timeout_s,
        version=version,
    )


def stop_limit_s(machine: Machine) -> float:
    """Return the seconds to wait for a machine to stop: until its kill, and a minute."""
    told_ns = nanoseconds(machine.config.stop_config.get("timeout")) if machine.config else None
    kill_after_s = told_ns / 1e9 if isinstance(told_ns, int) and told_ns > 0 else _KILL_AFTER_S
    return min(kill_after_s, _LONGEST_KILL_AFTER_S) + _AFTER_KILL_S


async def stop_and_wait(context: Context, lease: HeldLease, live: Machine, *, timeout_s: float) -> Machine | None:
    """Stop the machine and return it once it is stopped; None if not in `timeout_s`."""
    await context.client.stop_machine(live.app, live.id, nonce=lease.guard())
    return await wait_until(
        context,
        live,
        lambda seen: seen.state is MachineState.STOPPED,
        states=(MachineState.STOPPED,),
        timeout_s=timeout_s,
    )
