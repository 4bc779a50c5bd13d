"""The processes of a machine on this host, as the kernel tells of them in /proc (proc(5))."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.engine.runtime import ProcessStat

_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LISTENING: Final = "0A"


def processes_of(sessions: frozenset[int]) -> list[ProcessStat]:
    """All processes of these sessions. Empty where there is no /proc."""
    listening = _listening()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            if (stat := _stat(entry, sessions, listening)) is not None:
                found.append(stat)
    return sorted(found, key=lambda stat: stat.pid)


def _stat(entry: Path, sessions: frozenset[int], listening: dict[str, tuple[str, str]]) -> ProcessStat | None:
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    if int(fields[3]) not in sessions or fields[0] == "Z":
        return None
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    used_ms = (int(fields[11]) + int(fields[12])) * _TICK_MS
    age_ms = float(Path("/proc/uptime").read_text().split()[0]) * 1000 - int(fields[19]) * _TICK_MS
    return ProcessStat(
        pid=int(entry.name),
        command=words,
        directory=str((entry / "cwd").readlink()),
        stime=int(int(fields[12]) * _TICK_MS),
        rtime=int(max(0.0, age_ms)),
        cpu=int(100 * used_ms / age_ms) if age_ms > 0 else 0,
        rss=int(fields[21]) * _PAGE,
        sockets=tuple(listening[inode] for inode in _sockets(entry) if inode in listening),
    )


def _sockets(entry: Path) -> Iterator[str]:
    """The inodes of its open sockets."""
    for descriptor in (entry / "fd").iterdir():
        with suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def _listening() -> dict[str, tuple[str, str]]:
    """Protocol and address of each listening TCP socket, by inode."""
    found = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(OSError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    found[fields[9]] = (name, _address(fields[1], family))
    return found


def _address(text: str, family: socket.AddressFamily) -> str:
    """`host:port` of the kernel's hexadecimal, whose words are in the host's order."""
    host, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    shown = socket.inet_ntop(family, packed)
    return f"[{shown}]:{int(port, 16)}" if family == socket.AF_INET6 else f"{shown}:{int(port, 16)}"
