"""`reconciler unlock`: gives free what a process of ours had leased when it died; tells who holds the rest."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.signals import run_async
from reconciler.model import marks
from reconciler.model.machine import Lease, Machine
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.slots.lease_description import is_provably_dead, parse_holder
from reconciler.targets import pid_space, this_user

if TYPE_CHECKING:
    from reconciler.slots.context import Context

_AT_ONCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    machine: Machine
    lease: Lease
    is_released: bool


@click.command("unlock")
@shared_options
def command(**_values: object) -> int:
    """Release leases whose holder was a process of yours on this host, since its boot, and is dead.

    Others are listed with their holder and expiry; a lease ends by itself within a minute. Ends 0 where none is left.
    """
    options = shared()
    spec = spec_file.load(options)
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.redact import clean

    looked = run_async(_unlock(options, spec))
    found = [one for one in looked if isinstance(one, _Found)]
    failures = [one for one in looked if isinstance(one, str)]
    if options.is_json:
        console.print_json({"leases": [_as_json(one) for one in found], "failures": [clean(why) for why in failures]})
    else:
        lines = [_line(one) for one in found]
        console.print_text("\n".join(lines) if lines else "No leases on this stack's machines.")
    return tell_failures(failures) or (0 if all(one.is_released for one in found) else 1)


async def _unlock(options: Shared, spec: Spec) -> list[_Found | str]:
    """The leases that were found, and in words what could not be looked at."""
    import asyncio

    from reconciler.machines_api.observe import observe

    async with open_context(options, resolve(options), console.say) as context:
        observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
        owned = [
            machine
            for machine in observed.machines
            if marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name) and not machine.state.is_gone
        ]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(machine: Machine) -> _Found | str | None:
            async with limit:
                try:
                    return await _look(context, machine)
                except Exception as error:
                    return f"{machine.app}/{machine.name}: its lease cannot be looked at: {context.explain(error)}"

        looked = await asyncio.gather(*(one(machine) for machine in owned))
    return [found for found in looked if found]


async def _look(context: "Context", machine: Machine) -> _Found | None:
    lease = await context.client.leases.get(machine.app, machine.id)
    if lease is None:
        return None
    is_dead = is_provably_dead(parse_holder(lease.description), who=this_user(), space=pid_space(), is_alive=_is_alive)
    if is_dead:
        await context.client.leases.release(machine.app, machine.id, nonce=Secret(lease.nonce))
    return _Found(machine=machine, lease=lease, is_released=is_dead)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _line(found: _Found) -> str:
    word = "released" if found.is_released else "held"
    until = f"{found.lease.expires_at:%H:%M:%S} UTC"
    return f"{word}: {found.machine.app}/{found.machine.name} until {until}  ({_holder(found)})"


def _holder(found: _Found) -> str:
    from reconciler.render.redact import clean

    return clean(found.lease.description or found.lease.owner, 120)


def _as_json(found: _Found) -> dict[str, object]:
    return {
        "app": found.machine.app,
        "machine": found.machine.id,
        "name": found.machine.name,
        "holder": _holder(found),
        "expires_at": found.lease.expires_at.isoformat(),
        "released": found.is_released,
    }
