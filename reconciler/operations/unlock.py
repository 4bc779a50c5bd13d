"""Release what a process of ours had leased when it died, and tell who holds the rest."""

import asyncio
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.machines_api.observe import observe
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.slots.context import Context
from reconciler.slots.lease_description import is_provably_dead, parse_holder
from reconciler.targets import pid_space, this_user

_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLease:
    """A lease on a machine of the stack, and whether it was released now.

    `machine` is the machine's name. `holder` is what the holder wrote, else its owner: not our words.
    """

    app: str
    machine: str
    machine_id: str
    holder: str
    expires_at: datetime
    is_released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """The leases that were found, and in words what could not be looked at."""

    leases: tuple[FoundLease, ...]
    failures: tuple[str, ...] = ()


async def unlock(context: Context, spec: Spec) -> Unlocked:
    """Release the leases of dead processes of this user on this host, and return all that were found.

    Raises ApiError.
    """
    observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
    owned = [
        machine
        for machine in observed.machines
        if marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name) and not machine.state.is_gone
    ]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(machine: Machine) -> FoundLease | str | None:
        async with limit:
            try:
                return await _look(context, machine)
            except Exception as error:
                return f"{machine.app}/{machine.name}: its lease cannot be looked at: {context.explain(error)}"

    looked = await asyncio.gather(*(one(machine) for machine in owned))
    return Unlocked(
        leases=tuple(one for one in looked if isinstance(one, FoundLease)),
        failures=(
            *(app.unobserved for app in observed.apps.values() if app.unobserved),
            *(one for one in looked if isinstance(one, str)),
        ),
    )


async def _look(context: Context, machine: Machine) -> FoundLease | None:
    lease = await context.client.leases.get(machine.app, machine.id)
    if lease is None:
        return None
    is_dead = is_provably_dead(parse_holder(lease.description), who=this_user(), space=pid_space(), is_alive=_is_alive)
    if is_dead:
        await context.client.leases.release(machine.app, machine.id, nonce=Secret(lease.nonce))
    return FoundLease(
        app=machine.app,
        machine=machine.name,
        machine_id=machine.id,
        holder=lease.description or lease.owner,
        expires_at=lease.expires_at,
        is_released=is_dead,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
