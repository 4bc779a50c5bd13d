"""Where a machine's port is on this host, and whether something listens there."""

import asyncio
from contextlib import suppress
from typing import Final

from reconciler.engine.engine import Engine
from reconciler.engine.models import RUNNING

HOST: Final = "127.0.0.1"
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.2


async def listening_port(engine: Engine, machine_id: str, internal_port: int) -> int | None:
    """The host's port that the machine's internal one is at, once something listens there; None where the machine ends
    before, or is not known to run.

    A command on this host was told its port by PORT. One that listens on its internal port all the same is found by
    its own sockets, so that no other's listener is taken for it.
    """
    pause_s = _FIRST_PAUSE_S
    while (machine := engine.store.machine(machine_id)) and machine.state in RUNNING:
        mapped = engine.guest.ports(machine_id).get(internal_port)
        if mapped and await can_connect(mapped):
            return mapped
        if pause_s >= _LONGEST_PAUSE_S and await engine.guest.listens(machine_id, internal_port):
            return internal_port
        await asyncio.sleep(pause_s)  # nothing on this host tells when a socket begins to listen
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
    return None


async def can_connect(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
