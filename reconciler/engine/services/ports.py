"""Ports of this host for the ports that machines listen on."""

import socket
from typing import Any

from reconciler.engine.services.declared import internal_ports


def mapped_ports(config: dict[str, Any]) -> dict[int, int]:
    """A free port of loopback for each internal one."""
    ports = internal_ports(config)
    probes = [socket.socket() for _ in ports]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {port: probe.getsockname()[1] for port, probe in zip(ports, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()
