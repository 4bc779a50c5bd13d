"""One run of a machine as processes of this host: its output, end and signals."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from reconciler.engine.runtime.base import Ended, Executed, ProcessStat, TakeOutput
from reconciler.engine.runtime.child import Child, Starts, TakeBytes
from reconciler.engine.runtime.logs import LineSplitter
from reconciler.engine.runtime.procfs import (
    Owned,
    end_all,
    is_narrow,
    processes_of,
    signal_all,
    signal_group,
    start_time,
)

SpawnBesides: TypeAlias = Callable[[tuple[str, ...], TakeBytes, bytes], Awaitable[Child]]
"""Starts a command of these words on the machine, with this stdin. Raises OSError or ValueError."""

NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
_SIGNAL_BASE: Final = 128
_STREAMS: Final = {1: "stdout", 2: "stderr"}


class StreamLines:
    """The output of one process, cut into lines."""

    def __init__(self, take: TakeOutput) -> None:
        self._lines = {number: LineSplitter(partial(take, name)) for number, name in _STREAMS.items()}

    def take(self, descriptor: int, content: bytes) -> None:
        """Take output of a descriptor, 1 or 2."""
        self._lines[descriptor].add(content)

    def close(self) -> None:
        """Take what is left of last lines."""
        for lines in self._lines.values():
            lines.close()


class RunningProcesses:
    """The processes of one run, in `directory`.

    When a command exits, everything else of the machine is killed: other commands, and what they left in the
    background.
    """

    def __init__(
        self,
        children: list[tuple[Child, StreamLines]],
        directory: Path,
        starts: Starts,
        *,
        spawn: SpawnBesides | None = None,
        failed: Ended | None = None,
    ) -> None:
        self._children = children
        self._directory = directory
        self._starts = starts
        self._spawn = spawn
        self._besides: set[int] = set()  # the leaders of exec commands
        self._had_besides = False
        self._failed = failed
        self._is_over = False
        self.pids: tuple[tuple[int, int], ...] = tuple((child.pid, start_time(child.pid)) for child, _ in children)

    async def wait(self) -> Ended:
        """Wait for the first command that exits, kill the rest, and return how it ended."""
        children = [child for child, _ in self._children]
        if children and not self._failed:
            await asyncio.wait([child.exited for child in children], return_when=asyncio.FIRST_COMPLETED)
        first = next((child.exited.result() for child in children if child.exited.done()), 0)
        if not self._left_nothing():
            await self.kill()
        for child in children:
            await child.wait()
        self._is_over = True
        if waiting := [child.drain() for child in children if not child.is_drained]:
            await asyncio.gather(*waiting)
        for _, lines in self._children:
            lines.close()
        return self._failed or Ended(code=_code_of(first), signal=-first if first < 0 else None)

    def _left_nothing(self) -> bool:
        """Return whether it is certain that no process of the run is left.

        So it is where all commands have exited, and nobody but the engine has started any process meanwhile.
        """
        if self._had_besides or not self._children or not all(child.exited.done() for child, _ in self._children):
            return False
        before = self._children[0][0].before.by_others
        return before is not None and before == self._starts.count().by_others

    async def signal(self, number: int) -> None:
        """Send the signal to the process groups of the commands."""
        if number == signal.SIGKILL:
            await self.kill()
        if self._is_over:
            return  # their pids may belong to other processes now
        for child, _ in self._children:
            signal_group(child.pid, number)

    async def kill(self) -> None:
        """Kill all processes of the machine."""
        owned = self._owned()
        if self._is_over or (is_narrow(owned) and not signal_all(owned, signal.SIGKILL)):
            return
        await asyncio.to_thread(end_all, owned)

    async def suspend(self) -> None:
        """Stop all processes of the machine by SIGSTOP."""
        await self._signal_all(signal.SIGSTOP)

    async def resume(self) -> None:
        """Continue all processes of the machine by SIGCONT."""
        await self._signal_all(signal.SIGCONT)

    async def _signal_all(self, number: int) -> None:
        if not self._is_over:
            await asyncio.to_thread(signal_all, self._owned(), number)

    def _owned(self) -> Owned:
        leaders = frozenset(child.pid for child, _ in self._children) | self._besides
        eldest = self._children[0][0] if self._children else None
        if eldest is None:
            return Owned(leaders, self._directory)
        return Owned(leaders, self._directory, eldest=eldest.pid, forks_before=eldest.before.on_host)

    async def processes(self) -> list[ProcessStat]:
        """Return all processes of the machine."""
        return await asyncio.to_thread(processes_of, self._owned())

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Run a command as one more child, and kill it after the timeout."""
        if self._spawn is None or self._is_over:
            return Executed(code=NOT_EXECUTABLE, stdout="", stderr="the machine does not run")
        self._had_besides = True
        output = {number: bytearray() for number in _STREAMS}
        try:
            child = await self._spawn(words, lambda number, content: output[number].extend(content), stdin)
        except (OSError, ValueError) as error:
            return Executed(code=failure_code(error), stdout="", stderr=f"cannot run {words[0]!r}: {reason(error)}")
        self._besides.add(child.pid)
        try:
            if not self._is_over:  # the machine may have ended while the command was started
                async with asyncio.timeout(timeout_s):
                    await child.wait()
        finally:
            signal_group(child.pid, signal.SIGKILL)
            number = await child.wait()
            await child.drain()
            self._besides.discard(child.pid)
        stdout, stderr = (bytes(content).decode("utf-8", "replace") for content in output.values())
        return Executed(code=_code_of(number), signal=-number if number < 0 else None, stdout=stdout, stderr=stderr)

    async def discard(self) -> None:
        """Keep the directory until the next start, so that it can be looked at."""


def failure_code(error: OSError | ValueError) -> int:
    """Return a shell's exit code for it: 127 for a command not found, else 126."""
    return _NOT_FOUND if isinstance(error, FileNotFoundError | NotADirectoryError) else NOT_EXECUTABLE


def reason(error: OSError | ValueError) -> str:
    """Return why it cannot run.

    A ValueError means a NUL in a word, or a variable's name with an `=`.
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _code_of(number: int) -> int:
    """Return the exit code as a shell has it: 128 plus the signal's number."""
    return number if number >= 0 else _SIGNAL_BASE - number
