"""One process on this host: its output, and its exit, whoever holds its pipes.

asyncio's own `Process.wait` and `communicate` wait for the pipes too, which a background process can keep open for
ever.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias, cast

TakeBytes: TypeAlias = Callable[[int, bytes], None]
"""Takes a descriptor, 1 for stdout or 2 for stderr, and bytes of its output."""

_STDIN: Final = 0
_DRAIN_S: Final = 1.0


class Child(asyncio.SubprocessProtocol):
    """A process. `take` gets its output until its pipes are closed."""

    def __init__(self, take: TakeBytes) -> None:
        self.pid: int = 0
        self._take = take
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._is_drained = asyncio.Event()
        self._stdin: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        self._take(fd, cast("bytes", data))

    def process_exited(self) -> None:
        self._exited.set_result(self._transport.get_returncode() or 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_drained.set()

    async def wait(self) -> int:
        """Wait for its exit, and return the exit code.

        A negative one is the signal that ended it.
        """
        return await asyncio.shield(self._exited)

    async def drain(self) -> None:
        """Take the rest of its output for a second at most, then close its pipes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._is_drained.wait()
        if self._stdin and self._stdin.get_write_buffer_size():
            self._stdin.abort()  # close() would wait until the rest is read
        self._transport.close()

    def feed(self, content: bytes) -> None:
        """Write all of its stdin, and close it."""
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(_STDIN))
        self._stdin.write(content)
        self._stdin.write_eof()


async def start_child(
    words: tuple[str, ...], take: TakeBytes, *, directory: Path, env: Mapping[str, str], stdin: bytes | None = None
) -> Child:
    """Start the command in a session of its own.

    Raises OSError or ValueError where it cannot be started.
    """
    _, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: Child(take),
        *words,
        cwd=directory,
        env=env,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if stdin is not None:
        child.feed(stdin)
    return child
