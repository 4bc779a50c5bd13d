"""Wait for runs in progress to end by themselves."""

import asyncio
from collections.abc import Sequence
from typing import Final

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError
from reconciler.model.machine import MachineRef, MachineState
from reconciler.slots.context import Context
from reconciler.slots.wait import wait_until

_PAUSE_S: Final = 5.0


async def wait_for_busy(context: Context, busy: Sequence[MachineRef], *, timeout_s: float, stop: Stop) -> None:
    """Return once a machine rests or is gone, after `timeout_s`, or when stopped."""
    waits: list[asyncio.Task[object]] = [asyncio.create_task(_wait(context, machine, timeout_s)) for machine in busy]
    waits.append(asyncio.create_task(stop.requested.wait()))
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _wait(context: Context, machine: MachineRef, timeout_s: float) -> None:
    """Wait for one machine; one that cannot be read may be busy still."""
    is_known = False
    while not is_known:
        try:
            await wait_until(
                context,
                machine,
                lambda seen: seen.state.is_resting,
                states=(MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED),
                timeout_s=timeout_s,
            )
            is_known = True
        except ApiError:
            await context.clock.sleep(_PAUSE_S)
