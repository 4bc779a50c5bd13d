"""What runs a machine's commands: the protocol between the engine and its runtimes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias

TakeOutput: TypeAlias = Callable[[str, str], None]
"""Takes a stream's name (stdout, stderr, or empty for the runtime's own words) and one line."""


class ImageError(Exception):
    """An image cannot be had; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process of a machine. What is None is the image's own.

    `secrets` and `fields` are pairs of a variable and the app's secret, or the machine's field, that it is taken from.
    """

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    user: str | None = None
    env: Mapping[str, str]
    takes_secrets: bool = True
    secrets: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What runs, as far as the image is not asked."""
        return (self.entrypoint or ()) + (self.cmd or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a machine may use: memory and swap in MiB, and CPUs."""

    memory_mb: int
    cpus: int
    swap_mb: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a machine. `number` counts its starts; the filesystem is fresh at each.

    `mounts` are directories of this host and the paths below the machine's root that they are seen at; `ports` are
    internal ones, and those of loopback that they are to be published at. `context` is a
    directory of this host whose content the commands start in, where there is no image to hold it.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a start ended: `code` as a shell gives it, `signal` where one ended it, `error` where that is not known."""

    code: int
    signal: int | None = None
    oom_killed: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How a command ended that was run on a machine besides its own."""

    code: int
    stdout: str
    stderr: str
    signal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStat:
    """One process of a machine: times in milliseconds, `cpu` in percent, `rss` in bytes; `sockets` it listens on."""

    pid: int
    command: str
    directory: str = ""
    stime: int = 0
    rtime: int = 0
    cpu: int = 0
    rss: int = 0
    sockets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A machine that ran when its engine was killed: which of its starts, and the leaders of its process groups."""

    number: int
    pids: tuple[tuple[int, int], ...]


class Running(Protocol):
    """A machine that runs."""

    @property
    def pids(self) -> tuple[tuple[int, int], ...]:
        """The leaders of its process groups on this host with their start times in the kernel's ticks."""
        ...

    async def wait(self) -> Ended:
        """How it ended, once it has, with all its output taken."""
        ...

    async def signal(self, number: int) -> None:
        """Sends the signal to all its processes."""
        ...

    async def kill(self) -> None:
        """Ends it at once."""
        ...

    async def suspend(self) -> None:
        """Lets all its processes stand still."""
        ...

    async def resume(self) -> None:
        """Lets them go on."""
        ...

    async def processes(self) -> list[ProcessStat]:
        """What runs on it now."""
        ...

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Runs a command besides. Raises TimeoutError."""
        ...

    async def discard(self) -> None:
        """Removes what an ended start left, once its end is on record."""
        ...


class Runtime(Protocol):
    """Starts machines. `uses_image` tells whether a machine without a command of its own has its image's;
    `container_host` is where the container engine listens that it uses. `port_style` is `host` where commands listen on
    this host itself, `published` where their ports are, and empty where nothing listens.
    """

    name: str
    uses_image: bool
    container_host: str | None
    port_style: str

    async def prepare(self, image: str) -> None:
        """Makes the image ready. Raises ImageError."""
        ...

    async def start(self, launch: Launch, take: TakeOutput) -> Running: ...

    def forget(self, machine_id: str) -> None:
        """Removes what a machine left behind."""
        ...

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """Ends what still runs of an engine that was killed; how those machines ended of which that can be told."""
        ...

    async def close(self) -> None:
        """Once nothing runs any more."""
        ...
