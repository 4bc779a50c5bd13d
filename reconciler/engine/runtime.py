"""What runs a machine's commands: the protocol between the engine and its runtimes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias

TakeOutput: TypeAlias = Callable[[str, str], None]
"""Takes a stream's name (stdout, stderr, or empty for the runtime's own words) and one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process of a machine."""

    words: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a machine. `number` counts its starts; the filesystem is fresh at each.

    `context` is a directory of this host whose content the commands start in, where there is no image to hold it.
    """

    machine_id: str
    number: int
    commands: tuple[Command, ...]
    files: tuple[tuple[PurePosixPath, bytes, int], ...]
    context: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a start ended: `code` as a shell gives it, `signal` where one ended it."""

    code: int
    signal: int | None = None
    oom_killed: bool = False


class Running(Protocol):
    """A machine that runs."""

    @property
    def pids(self) -> tuple[tuple[int, int], ...]:
        """The leaders of its process groups with their start times in the kernel's ticks."""
        ...

    async def wait(self) -> Ended:
        """How it ended, once it has, with all its output taken."""
        ...

    def signal(self, number: int) -> None:
        """Sends the signal to all its processes."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...


class Runtime(Protocol):
    """Starts machines."""

    name: str

    async def start(self, launch: Launch, take: TakeOutput) -> Running: ...

    def forget(self, machine_id: str) -> None:
        """Removes what a machine left behind."""
        ...

    def reap(self, pids: tuple[tuple[int, int], ...]) -> None:
        """Ends what still runs of an engine that was killed."""
        ...
