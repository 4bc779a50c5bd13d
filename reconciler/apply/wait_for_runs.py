"""Waiting for runs in progress to end by themselves."""

import asyncio
from collections.abc import Sequence
from typing import Final

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError
from reconciler.model.machine import Machine, MachineState
from reconciler.slots.context import Context
from reconciler.slots.wait import wait_until

_PAUSE_S: Final = 5.0


async def wait_for_busy(
    context: Context, busy: Sequence[tuple[str, str, str]], *, timeout_s: float, stop: Stop
) -> None:
    """Returns once one of the machines (app, id, name) rests or is gone, after `timeout_s`, or when asked to stop."""
    waits: list[asyncio.Task[object]] = [
        asyncio.create_task(_wait(context, _by_id(app, machine_id, name), timeout_s)) for app, machine_id, name in busy
    ]
    waits.append(asyncio.create_task(stop.requested.wait()))
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _wait(context: Context, machine: Machine, timeout_s: float) -> None:
    """A machine that cannot be looked at may be busy still: it is looked at again after a pause."""
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


def _by_id(app: str, machine_id: str, name: str) -> Machine:
    return Machine(
        app=app, id=machine_id, name=name, state=MachineState.UNKNOWN, region="", instance_id="", config=None
    )
