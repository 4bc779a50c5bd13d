"""Read the events that a machine does not come with.

The platform tells a machine with its five newest events (assumption A17), and up to fifty if they are asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from reconciler.errors import ApiError
from reconciler.machines_api.client import MachinesClient
from reconciler.model.machine import Event, Machine

_AT_ONCE: Final = 10


async def events_back_to(client: MachinesClient, machine: Machine, event_id: str | None) -> Sequence[Event]:
    """Return the machine's events, newest first, back to this one if it is retained.

    They are asked for only if the machine does not come with it. Raises ApiError.
    """
    if any(event.id == event_id for event in machine.events):
        return machine.events
    return await client.list_events(machine.app, machine.id)


def has_all_events(machine: Machine) -> bool:
    """Return whether the machine comes with every event that it ever had.

    Then its creation is among them: events come without a gap (A17). A migration shows as a launch too, not by a user.
    """
    oldest = machine.events[-1] if machine.events else None
    return oldest is not None and oldest.type == "launch" and oldest.source == "user"


async def with_more_events(
    client: MachinesClient, machines: tuple[Machine, ...], needs: Callable[[Machine], bool]
) -> tuple[Machine, ...]:
    """Return the machines, those that need it with all retained events.

    One whose events cannot be read is returned as it is.
    """
    wanting = [machine for machine in machines if machine.id and needs(machine)]
    if not wanting:
        return machines
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(machine: Machine) -> Machine:
        async with limit:
            try:
                return replace(machine, events=await client.list_events(machine.app, machine.id))
            except ApiError:
                return machine

    told = {machine.id: machine for machine in await asyncio.gather(*map(one, wanting))}
    return tuple(told.get(machine.id, machine) for machine in machines)
