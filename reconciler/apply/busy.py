"""Waiting for runs in progress to end by themselves."""

import asyncio
from collections.abc import Sequence

from reconciler.apply.executor import Stop
from reconciler.model.machine import Machine, MachineState
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import wait_until


async def wait_for_busy(actor: Actor, busy: Sequence[tuple[str, str, str]], *, timeout_s: float, stop: Stop) -> None:
    """Returns once one of the machines (app, id, name) rests or is gone, after `timeout_s`, or when asked to stop."""
    waits: list[asyncio.Task[object]] = [
        asyncio.create_task(
            wait_until(
                actor,
                _by_id(app, machine_id, name),
                lambda seen: seen.state.is_resting,
                states=(MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED),
                timeout_s=timeout_s,
            )
        )
        for app, machine_id, name in busy
    ]
    waits.append(asyncio.create_task(stop.requested.wait()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _by_id(app: str, machine_id: str, name: str) -> Machine:
    return Machine(
        app=app, id=machine_id, name=name, state=MachineState.UNKNOWN, region="", instance_id="", config=None
    )
