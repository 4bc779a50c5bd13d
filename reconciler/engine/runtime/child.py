"""One process on this host: its output, and its exit, whoever holds its pipes.

asyncio's own processes cost more: a thread for each with Python 3.11, and with uvloop a fork, where Python has vfork.
Their `wait` and `communicate` wait for the pipes too, which a background process can keep open for ever.
"""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias

from reconciler.engine.runtime.procfs import forks

TakeBytes: TypeAlias = Callable[[int, bytes], None]
"""Takes a descriptor, 1 for stdout or 2 for stderr, and bytes of its output."""

_DRAIN_S: Final = 1.0
_CHUNK: Final = 65536


class StartCount(NamedTuple):
    """How many processes and threads were started until some moment.

    `on_host` by anyone on this host, None without /proc; `own` by the engine for machines.
    """

    on_host: int | None
    own: int

    @property
    def by_others(self) -> int | None:
        """Return how many were started by others."""
        return None if self.on_host is None else self.on_host - self.own


class Starts:
    """Count the processes that the engine and others start.

    `own` are those that the engine starts for machines.
    """

    def __init__(self) -> None:
        self.own: int = 0

    def count(self) -> StartCount:
        """Return what was started until now."""
        return StartCount(forks(), self.own)


class Child:
    """A process.

    `take` gets its output until its pipes are closed. `exited` gets its exit code; a negative one is the signal that
    ended it. `before` is what `Starts` counted before its start.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", take: TakeBytes, before: StartCount) -> None:
        self.pid: int = process.pid
        self.before = before
        self._process = process
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._is_drained = asyncio.Event()
        self._stdin: asyncio.WriteTransport | None = None
        self._pipes: dict[int, IO[bytes]] = {}
        for number, pipe in ((1, process.stdout), (2, process.stderr)):
            if pipe is not None:
                self._pipes[number] = pipe
                os.set_blocking(pipe.fileno(), False)
                self._loop.add_reader(pipe.fileno(), partial(self._read, number, pipe))
        self._watch()

    def _watch(self) -> None:
        """Learn of the exit: by a descriptor of the process.

        Where the kernel has none, in a thread.
        """
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, name=f"wait-{self.pid}", daemon=True).start()
            return
        self._loop.add_reader(descriptor, self._has_exited, descriptor)

    def _has_exited(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self.exited.set_result(self._process.wait())

    def _wait_in_thread(self) -> None:
        code = self._process.wait()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.exited.set_result, code)

    def _read(self, number: int, pipe: IO[bytes]) -> None:
        try:
            content = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if content:
            self._take(number, content)
        else:
            self._close(number)

    def _close(self, number: int) -> None:
        pipe = self._pipes.pop(number)
        self._loop.remove_reader(pipe.fileno())
        pipe.close()
        if not self._pipes:
            self._is_drained.set()

    async def wait(self) -> int:
        """Wait for its exit, and return the exit code.

        A negative one is the signal that ended it.
        """
        return await asyncio.shield(self.exited)

    @property
    def is_drained(self) -> bool:
        """Return whether its pipes are closed: there is nothing to drain."""
        return not self._pipes and self._stdin is None

    async def drain(self) -> None:
        """Take the rest of its output for a second at most, then close its pipes."""
        if self._pipes:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await self._is_drained.wait()
        for number in tuple(self._pipes):
            self._close(number)
        if self._stdin and self._stdin.get_write_buffer_size():
            self._stdin.abort()  # close() would wait until the rest is read

    async def feed(self, content: bytes) -> None:
        """Write all of its stdin, and close it."""
        transport, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        self._stdin = transport
        self._stdin.write(content)
        self._stdin.write_eof()


async def start_child(
    words: tuple[str, ...],
    take: TakeBytes,
    *,
    starts: Starts,
    directory: Path,
    env: Mapping[str, str],
    stdin: bytes | None = None,
) -> Child:
    """Start the command in a session of its own, and count it.

    Raises OSError or ValueError where it cannot be started.
    """
    before = starts.count()
    process = subprocess.Popen(  # noqa: ASYNC220 - it takes as long in any other thread, which is another one to start
        words,
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    starts.own += 1
    child = Child(process, take, before)
    if stdin is not None:
        await child.feed(stdin)
    return child
