"""The protocol between the engine and its runtimes, which run commands."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias

from msgspec import Struct

from reconciler.hidden import HidesFields

TakeOutput: TypeAlias = Callable[[str, str], None]
"""Takes a stream's name (stdout, stderr, or empty for the runtime's own messages) and one line."""


class ImageError(Exception):
    """An image cannot be pulled; the message says why."""


class Command(HidesFields, frozen=True, kw_only=True):
    """One process of a machine. None stands for the image's own value.

    `secrets` and `fields` are pairs: a variable, and the app's secret or the machine's field that is its value.
    """

    _hidden = frozenset({"env"})

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    user: str | None = None
    env: Mapping[str, str]
    takes_secrets: bool = True
    secrets: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the command, without those of the image."""
        return (self.entrypoint or ()) + (self.cmd or ())


class Limits(Struct, frozen=True, kw_only=True):
    """What a machine may use; memory and swap are in MiB."""

    memory_mb: int
    cpus: int
    swap_mb: int = 0


class Launch(HidesFields, frozen=True, kw_only=True):
    """One start of a machine.

    `number` counts its starts; each has a fresh filesystem. `mounts` are pairs: a directory of this host, and its path
    in the machine without the leading slash. `ports` are pairs: an internal port, and the loopback port that it is
    published at. `context` is the build context on this host, for a runtime that has no image.
    """

    _hidden = frozenset({"files"})

    machine_id: str
    name: str
    number: int
    image: str
    commands: tuple[Command, ...]
    files: tuple[tuple[PurePosixPath, bytes, int], ...]
    limits: Limits
    mounts: tuple[tuple[Path, PurePosixPath], ...] = ()
    ports: tuple[tuple[int, int], ...] = ()
    has_terminal: bool = False
    context: Path | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """How a run ended.

    `code` is as a shell has it, `signal` what ended it, if one did, `error` why the code is not known.
    """

    code: int
    signal: int | None = None
    oom_killed: bool = False
    error: str | None = None


class Executed(Struct, frozen=True, kw_only=True):
    """How a command of an exec call ended."""

    code: int
    stdout: str
    stderr: str
    signal: int | None = None


class ProcessStat(Struct, frozen=True, kw_only=True):
    """One process of a machine.

    Times are in milliseconds, `cpu` in percent, `rss` in bytes. `sockets` are pairs of protocol and address that it
    listens on.
    """

    pid: int
    command: str
    directory: str = ""
    stime: int = 0
    rtime: int = 0
    cpu: int = 0
    rss: int = 0
    sockets: tuple[tuple[str, str], ...] = ()


class Leftover(Struct, frozen=True, kw_only=True):
    """A run whose engine was killed: the start's number, and Machine's `pids`."""

    number: int
    pids: tuple[tuple[int, int], ...]


class Running(Protocol):
    """One run of a machine, from its start to its end."""

    @property
    def pids(self) -> tuple[tuple[int, int], ...]:
        """Return the leaders of its process groups, with start times in kernel ticks."""
        ...

    async def wait(self) -> Ended:
        """Wait for its end, until all output is taken, and return how it ended."""
        ...

    async def signal(self, number: int) -> None:
        """Send the signal to all its processes."""
        ...

    async def kill(self) -> None:
        """Kill it."""
        ...

    async def suspend(self) -> None:
        """Pause all its processes."""
        ...

    async def resume(self) -> None:
        """Continue its paused processes."""
        ...

    async def processes(self) -> list[ProcessStat]:
        """Return its processes."""
        ...

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Run one more command on the machine. Raises TimeoutError."""
        ...

    async def discard(self) -> None:
        """Remove what the run left, after its end is on record."""
        ...


class Runtime(Protocol):
    """A way to run machines.

    `uses_image` tells whether a machine without a command runs its image's. `container_host` is the address of the
    container engine, if one is used. `port_style` is `host` where commands listen on this host itself, `published`
    where their ports are published on it, and empty where nothing listens.
    """

    name: str
    uses_image: bool
    container_host: str | None
    port_style: str

    async def prepare(self, image: str) -> None:
        """Pull the image, unless it is there. Raises ImageError."""
        ...

    async def start(self, launch: Launch, take: TakeOutput) -> Running:
        """Start the commands; `take` gets their output.

        A command that cannot run ends the run with 126 or 127.
        """
        ...

    def forget(self, machine_id: str) -> None:
        """Remove what a destroyed machine left."""
        ...

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """End what an engine that was killed left running.

        Return, by machine id, the ends that are known.
        """
        ...

    async def close(self) -> None:
        """Close the runtime, after all runs have ended."""
        ...
