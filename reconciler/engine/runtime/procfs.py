"""Find and signal the processes of a machine on this host, by /proc (proc(5)).

They are the processes in the sessions of its commands, those with its mark in their environment (also after they have
changed their session), and the children of all these. Without /proc only process groups are known.
"""

import os
import signal
import socket
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconciler.engine.runtime.base import ProcessStat

MARK: Final = "RECONCILER_MACHINE_DIRECTORY"
"""The variable that each command gets: the directory of its start; in earlier versions that of the machine."""

_PROC = Path("/proc")
_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LISTENING: Final = "0A"
_FEW_FORKS: Final = 4096  # far fewer than pids in a round: 32768 at least
_SKIPPED: Final = 1024  # pids that are in use already, on the way from the eldest to the last
_ALL_PIDS: Final = (0, 2**31)
_STARTED: Final = 19  # among the fields of stat from the state on: when it started
_SIZE: Final = 20  # its memory: 0 for a thread of the kernel, which has no environment
_ENVIRONMENT_END: Final = 48  # the address; 0 until execve has put the environment there
_GONE: Final = frozenset({"Z", "X"})
_DEATH_S: Final = 1.0
_DEATH_POLL_S: Final = 0.002
_EXEC_POLL_S: Final = 0.001
_EXEC_POLLS: Final = 50  # execve takes far less than 1 ms, unless a disk is broken


class Owned(Struct, frozen=True):
    """Which processes are meant: by the leaders of sessions, and by mark.

    The mark of a process names `directory` or a directory below it. None of them is older than the `eldest`, which was
    started when this host had started so many (`forks_before`; None where that is not known).
    """

    sessions: frozenset[int]
    directory: Path
    eldest: int = 0
    forks_before: int | None = None


class Listener(Struct, frozen=True):
    """A process that listens on a port, with its session and its machine's mark.

    `pid` is 0 where the process is not known, as those of other users are.
    """

    pid: int = 0
    command: str = ""
    session: int = 0
    mark: str = ""


def signal_all(owned: Owned, number: int) -> bool:
    """Send the signal to all of these processes that exist now.

    Return whether there are any.
    """
    found = _pids_of(owned)
    for pid in found or ():
        _signal(pid, number)
    for leader in owned.sessions if found is None else ():
        signal_group(leader, number)
    return bool(found)


def end_all(owned: Owned) -> None:
    """Kill all of these processes, and return once they and their ports are gone.

    They may start others until the kill reaches them, so look again until none is left. Give up after a second: a
    process that waits for a broken disk does not die.
    """
    deadline = time.monotonic() + _DEATH_S
    while True:
        if not signal_all(owned, signal.SIGKILL) or time.monotonic() >= deadline:
            return
        time.sleep(_DEATH_POLL_S)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_group(leader: int, number: int) -> None:
    """Send the signal to a process group, if it exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def start_time(pid: int) -> int:
    """Return when the process started, in kernel ticks; 0 where unknown.

    Tells a process from a later one with its pid.
    """
    try:
        return int(_fields(pid)[_STARTED])
    except (OSError, ValueError, IndexError):
        return 0


def processes_of(owned: Owned) -> list[ProcessStat]:
    """Return these processes, sorted by pid; none without /proc."""
    listening = _listening()
    found = []
    for pid in sorted(_pids_of(owned) or ()):
        with suppress(OSError, ValueError, IndexError):
            found.append(_stat(pid, listening))
    return found


def find_listener(port: int) -> Listener | None:
    """Return who listens on the TCP port; None where nobody does, and without /proc."""
    inodes = {inode for inode, (_, address) in _listening().items() if address.endswith(f":{port}")}
    if not inodes:
        return None
    for pid in _all_pids():
        with suppress(OSError, ValueError, IndexError):
            if inodes.isdisjoint(_sockets(_PROC / str(pid))):
                continue
            command = (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
            return Listener(pid, command, int(_fields(pid)[3]), _mark_of(pid))
    return Listener()


def _all_pids() -> list[int]:
    """Return the pids of all processes of this host; none without /proc."""
    try:
        return sorted(int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208
    except OSError:
        return []


def _pids_of(owned: Owned) -> set[int] | None:
    """Return the pids of these processes, never our own.

    None without /proc, or where it is empty.
    """
    pids = _all_pids()
    if not pids:
        return None
    eldest, last = _range_of(owned)  # asked after the list of pids: nothing in it is younger
    pids = pids[bisect_left(pids, eldest) : bisect_right(pids, last)]
    found: set[int] = set()
    children: dict[int, list[int]] = {}
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            state, parent, _, session = _fields(pid)[:4]
            if state in _GONE or pid == os.getpid():
                continue  # a command of a machine may have started this engine, which then carries the mark
            children.setdefault(int(parent), []).append(pid)
            if int(session) in owned.sessions or _is_marked(pid, owned.directory):
                found.add(pid)
    grown = list(found)
    while grown:
        new = [pid for pid in children.get(grown.pop(), ()) if pid not in found]
        found.update(new)
        grown += new
    return found


def forks() -> int | None:
    """Return how many processes and threads this host has started.

    None without /proc.
    """
    try:
        with open(f"{_PROC}/stat", "rb") as file:  # noqa: PTH123
            return int(file.read().partition(b"\nprocesses ")[2].partition(b"\n")[0])
    except (OSError, ValueError):
        return None


def is_narrow(owned: Owned) -> bool:
    """Return whether few processes of this host have to be looked at to find these."""
    return _range_of(owned)[0] > 0


def _range_of(owned: Owned) -> tuple[int, int]:
    """Return the first and the last pid that any of these processes can have.

    All pids where that is not known. The kernel gives pids out in ascending order, and begins anew at the end. So they
    are known while too few were given out for a whole round, and the last one is still above the eldest. Processes of
    the round before have higher pids. What a container's /proc says of the last one may be old, so count them as well.
    """
    now = None if owned.forks_before is None else forks()
    if now is None or owned.forks_before is None or now - owned.forks_before > _FEW_FORKS:
        return _ALL_PIDS
    try:
        with open(f"{_PROC}/loadavg", "rb") as file:  # noqa: PTH123
            last = int(file.read().split()[-1])
    except (OSError, ValueError, IndexError):
        return _ALL_PIDS
    counted = owned.eldest + now - owned.forks_before + _SKIPPED
    return (owned.eldest, max(last, counted)) if last >= owned.eldest else _ALL_PIDS


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command, from the state on."""
    with open(f"{_PROC}/{pid}/stat", "rb") as file:  # noqa: PTH123 - asked of every process of the host: pathlib is slow
        return file.read().rpartition(b")")[2].decode("ascii").split()


def _is_marked(pid: int, directory: Path) -> bool:
    mark = _mark_of(pid)
    return mark == str(directory) or mark.startswith(f"{directory}/")


def _mark_of(pid: int) -> str:
    """Return the mark in the process's environment.

    Empty without one, and for processes of other users. A process that just begins another program has no environment
    for a moment; that is waited for.
    """
    try:
        environment = _environment(pid)
        for _ in range(_EXEC_POLLS):
            if environment or not _begins_program(pid):
                break
            time.sleep(_EXEC_POLL_S)
            environment = _environment(pid)
    except (OSError, IndexError):
        return ""
    return os.fsdecode((b"\0" + environment).partition(f"\0{MARK}=".encode())[2].partition(b"\0")[0])


def _environment(pid: int) -> bytes:
    with open(f"{_PROC}/{pid}/environ", "rb") as file:  # noqa: PTH123
        return file.read()


def _begins_program(pid: int) -> bool:
    """Return whether the process has memory, and its environment no place in it yet."""
    fields = _fields(pid)
    return fields[_SIZE] != "0" and fields[_ENVIRONMENT_END] == "0"


def _stat(pid: int, listening: dict[str, tuple[str, str]]) -> ProcessStat:
    entry, fields = _PROC / str(pid), _fields(pid)
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    used_ms = (int(fields[11]) + int(fields[12])) * _TICK_MS
    age_ms = float((_PROC / "uptime").read_text().split()[0]) * 1000 - int(fields[19]) * _TICK_MS
    return ProcessStat(
        pid=pid,
        command=words,
        directory=str((entry / "cwd").readlink()),
        stime=int(int(fields[12]) * _TICK_MS),
        rtime=int(max(0.0, age_ms)),
        cpu=int(100 * used_ms / age_ms) if age_ms > 0 else 0,
        rss=int(fields[21]) * _PAGE,
        sockets=tuple(listening[inode] for inode in _sockets(entry) if inode in listening),
    )


def _sockets(entry: Path) -> Iterator[str]:
    """Yield the inodes of the process's open sockets."""
    for descriptor in (entry / "fd").iterdir():
        with suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def _listening() -> dict[str, tuple[str, str]]:
    """Return protocol and address of each listening TCP socket, by inode."""
    found = {}
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(OSError):
            for line in (_PROC / "net" / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    found[fields[9]] = (name, _address(fields[1], family))
    return found


def _address(text: str, family: socket.AddressFamily) -> str:
    """Return `host:port` of the kernel's hexadecimal address.

    Its 32-bit words are in host byte order.
    """
    host, _, port = text.partition(":")
    packed = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    shown = socket.inet_ntop(family, packed)
    return f"[{shown}]:{int(port, 16)}" if family == socket.AF_INET6 else f"{shown}:{int(port, 16)}"
