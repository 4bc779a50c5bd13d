"""Release leases that our processes held when they died; report the others."""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from msgspec import Struct

from reconciler.errors import ApiError
from reconciler.machines_api.observe import observe
from reconciler.model import marks
from reconciler.model.machine import Lease, Machine, Observed, ShownLease
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.slots.context import Context
from reconciler.slots.lease_description import is_provably_dead, parse_holder
from reconciler.targets import pid_space, this_user

_AT_ONCE: Final = 10
_WORTH_ASKING: Final = 3  # machines


class FoundLease(Struct, frozen=True, kw_only=True):
    """A lease on a machine of the stack, and whether it was released now.

    `machine` is the machine's name. `holder` is what the holder wrote, else its owner: not our words.
    """

    app: str
    machine: str
    machine_id: str
    holder: str
    expires_at: datetime
    is_released: bool


class Unlocked(Struct, frozen=True, kw_only=True):
    """The leases that were found, and in words what could not be looked at."""

    leases: tuple[FoundLease, ...]
    failures: tuple[str, ...] = ()


async def unlock(context: Context, spec: Spec) -> Unlocked:
    """Release the leases of dead processes of this user on this host.

    Return all leases that were found. Raises ApiError.
    """
    observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
    owned = [
        machine
        for machine in observed.machines
        if marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name) and not machine.state.is_gone
    ]
    silent = await _without_leases(context, observed, owned)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(machine: Machine) -> FoundLease | str | None:
        async with limit:
            try:
                return await _look(context, machine)
            except Exception as error:
                return f"{machine.app}/{machine.name}: its lease cannot be looked at: {context.explain(error)}"

    suspects = [machine for machine in owned if machine.lease or machine.app in silent]
    looked = await asyncio.gather(*(one(machine) for machine in suspects))
    return Unlocked(
        leases=tuple(one for one in looked if isinstance(one, FoundLease)),
        failures=(
            *(app.unobserved for app in observed.apps.values() if app.unobserved),
            *(one for one in looked if isinstance(one, str)),
        ),
    )


async def _without_leases(context: Context, observed: Observed, owned: Sequence[Machine]) -> set[str]:
    """Return the apps whose list shows no lease, and may never show one.

    There each machine's lease has to be asked for. A server that lists by pages shows leases too. That is one call to
    find out, so it is made only for an app with enough machines.
    """
    counts = Counter(machine.app for machine in owned)
    silent = {app for app in counts if not any(machine.lease for machine in observed.apps[app].machines)}
    for app in sorted(silent, key=lambda app: -counts[app]):
        if counts[app] < _WORTH_ASKING:
            break
        with suppress(ApiError):
            return set() if await context.client.lists.has_pages(app) else silent
    return silent


async def _look(context: Context, machine: Machine) -> FoundLease | None:
    if machine.lease and not _is_dead(machine.lease.description):
        return _found(machine, machine.lease, is_released=False)
    lease = await context.client.leases.get(machine.app, machine.id)
    if lease is None:
        return None
    is_dead = _is_dead(lease.description)
    if is_dead:
        await context.client.leases.release(machine.app, machine.id, nonce=Secret(lease.nonce))
    return _found(machine, lease, is_released=is_dead)


def _found(machine: Machine, lease: Lease | ShownLease, *, is_released: bool) -> FoundLease:
    return FoundLease(
        app=machine.app,
        machine=machine.name,
        machine_id=machine.id,
        holder=lease.description or lease.owner,
        expires_at=lease.expires_at,
        is_released=is_released,
    )


def _is_dead(description: str) -> bool:
    return is_provably_dead(parse_holder(description), who=this_user(), space=pid_space(), is_alive=_is_alive)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
