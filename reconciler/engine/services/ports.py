"""Map the ports of machines to ports of this host, and wait for a listener."""

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reconciler.engine.models import RUNNING
from reconciler.engine.services.declared import internal_ports

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

HOST: Final = "127.0.0.1"
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.2


def mapped_ports(config: dict[str, Any]) -> dict[int, int]:
    """Return a free loopback port for each internal port of the machine."""
    ports = internal_ports(config)
    probes = [socket.socket() for _ in ports]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return {port: probe.getsockname()[1] for port, probe in zip(ports, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


async def listening_port(engine: "Engine", machine_id: str, internal_port: int) -> int | None:
    """Wait for a listener on the internal port, and return the port of this host.

    None where the machine ends before that, or does not run. A command on this host is told its port by PORT. If it
    listens on the internal port all the same, its own sockets show that: other listeners are not mistaken for it.
    """
    pause_s = _FIRST_PAUSE_S
    while (machine := engine.store.machine(machine_id)) and machine.state in RUNNING:
        mapped = engine.guest.ports(machine_id).get(internal_port)
        if mapped and await can_connect(mapped):
            return mapped
        if pause_s >= _LONGEST_PAUSE_S and await engine.guest.listens(machine_id, internal_port):
            return internal_port
        await asyncio.sleep(pause_s)  # the kernel sends no event when a socket begins to listen
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
    return None


async def can_connect(port: int) -> bool:
    """Return whether something accepts connections on this loopback port."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
