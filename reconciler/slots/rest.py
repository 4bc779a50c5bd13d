"""Bringing a machine to rest under a lease that is held."""

from reconciler.model.machine import Machine, MachineState
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import wait_until
from reconciler.slots.lease import HeldLease


async def stop_and_wait(actor: Actor, lease: HeldLease, live: Machine, *, timeout_s: float) -> Machine | None:
    """Stop the machine and return it once it is stopped; None where it is not within `timeout_s`."""
    await actor.client.stop_machine(live.app, live.id, nonce=lease.guard())
    return await wait_until(
        actor,
        live,
        lambda seen: seen.state is MachineState.STOPPED,
        states=(MachineState.STOPPED,),
        timeout_s=timeout_s,
    )
