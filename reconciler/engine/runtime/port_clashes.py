"""Explain why a machine ended whose port on this host is in use.

The machine's last log lines show that a port was in use; the kernel's table of sockets shows which, and by whom.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from reconciler.engine.config.read import commands_of
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Ended
from reconciler.engine.runtime.logs import Logs
from reconciler.engine.runtime.procfs import Listener, find_listener
from reconciler.engine.services.declared import internal_ports
from reconciler.engine.store.store import Store

_IN_USE: Final = re.compile(r"\bin use\b|EADDRINUSE", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\w.])\d{1,5}(?!\w|\.\d)")
_LAST_PORT: Final = 65535


async def tell_clash(store: Store, logs: Logs, machine_id: str, ended: Ended) -> None:
    """Write into the machine's log who uses its port, if that ended the run."""
    machine = store.machine(machine_id)
    if machine is None or ended.code <= 0 or ended.signal:
        return
    lines = [line for line in _last_lines(store, machine) if _IN_USE.search(line)]
    if not lines:
        return
    found = await asyncio.to_thread(_first_held, list(dict.fromkeys(_candidates(machine.config, lines))))
    taken = f"port {found[0]} is in use by {_name(store, found[1])}" if found else "a port that it listens on is in use"
    logs.taker(machine)("", f"{taken} on this host. {_advice(machine.config)}")
    logs.write()


def _last_lines(store: Store, machine: Machine) -> list[str]:
    """Return the newest log lines of the machine's newest start."""
    since_ms = next((event.timestamp_ms for event in machine.events if event.type == "start"), 0)
    try:
        entries = store.logs(machine.app, machine.id, None)
    except sqlite3.Error:
        return []
    return [entry.message for entry in entries if entry.stream and entry.timestamp_ns >= since_ms * 1_000_000]


def _candidates(config: Mapping[str, Any], lines: Iterable[str]) -> Iterator[int]:
    """Yield ports that may be in use: of the log, then declared, then of the command."""
    words = (word for command in commands_of(dict(config)) for word in command.words)
    yield from _numbers(lines)
    yield from internal_ports(dict(config))
    yield from _numbers(words)


def _numbers(texts: Iterable[str]) -> Iterator[int]:
    for text in texts:
        yield from (int(found) for found in _NUMBER.findall(text) if 0 < int(found) <= _LAST_PORT)


def _first_held(ports: Iterable[int]) -> tuple[int, Listener] | None:
    for port in ports:
        if listener := find_listener(port):
            return port, listener
    return None


def _name(store: Store, listener: Listener) -> str:
    if listener.pid == os.getpid():
        return "this engine itself, which serves the declared port of a service there,"
    if machine := _machine_of(store, listener):
        return f"machine {machine.name} (process {listener.pid})"
    return f"process {listener.pid} ({listener.command})" if listener.pid else "a process of another user"


def _machine_of(store: Store, listener: Listener) -> Machine | None:
    """Return the machine that the process belongs to, by its session or its mark."""
    for machine in store.machines():
        if any(listener.session == pid for pid, _ in machine.pids):
            return machine
    parts = Path(listener.mark).parts
    return next((found for part in reversed(parts) if (found := store.machine(part))), None)


def _advice(config: Mapping[str, Any]) -> str:
    listen = "listen on $PORT, which is each machine's own"
    if not internal_ports(dict(config)):
        listen = f"declare `ports`, and {listen} then"
    return f"All machines of this engine share the ports of this host: {listen}"
