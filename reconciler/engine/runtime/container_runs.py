"""One run of a machine as containers: its output, end and signals."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from reconciler.containers.client import ContainerEngine, State
from reconciler.containers.errors import ContainerError
from reconciler.containers.wire import Output
from reconciler.engine.runtime.base import Ended, Executed, ProcessStat, TakeOutput
from reconciler.engine.runtime.logs import LineSplitter

_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_KILLED: Final = 137
_SIGNAL_BASE: Final = 128
_SIGKILL: Final = 9
_AWAY_S: Final = 30.0
_AWAY_POLL_S: Final = 0.5
_DRAIN_S: Final = 2.0


class RunningContainers:
    """The containers of one run. When one of them ends, the others are killed."""

    pids: tuple[tuple[int, int], ...] = ()

    def __init__(self, engine: ContainerEngine, take: TakeOutput) -> None:
        self._engine = engine
        self._take = take
        self._containers: list[str] = []
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._sent: set[int] = set()
        self._is_suspended = False
        self.failed: Ended | None = None

    @property
    def first(self) -> str | None:
        """Return the first container, whose network the others share."""
        return self._containers[0] if self._containers else None

    def add(self, container: str) -> None:
        """Add a container to the run."""
        self._containers.append(container)

    def read(self, container: str, output: Output) -> None:
        """Take the container's output from now on."""
        self._readers[container] = asyncio.create_task(self._read(output))

    async def _read(self, output: Output) -> None:
        lines = {name: LineSplitter(partial(self._take, name)) for name in ("stdout", "stderr")}
        try:
            async for name, content in output.parts():
                lines[name].add(content)
        except ContainerError as error:
            self._take("", str(error))
        finally:
            for one in lines.values():
                one.close()

    async def wait(self) -> Ended:
        """Wait for the first container that ends, kill the others, and return its end."""
        if self.failed:
            await self.kill()
            for reader in self._readers.values():
                reader.cancel()
            await asyncio.gather(*self._readers.values(), return_exceptions=True)
            return self.failed
        ends = [asyncio.create_task(self._ended(container)) for container in self._containers]
        done, late = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        ended = next(end.result() for end in ends if end in done)
        if late:
            await self.kill()
            await asyncio.wait(late)
        return ended

    async def _ended(self, container: str) -> Ended:
        """Wait for the container's end, and return how it ended.

        The end of its output comes first; where it never comes, the container engine still reports the end.
        """
        reader = self._readers[container]
        parked = asyncio.create_task(self._state_at_end(container))
        await asyncio.wait({reader, parked}, return_when=asyncio.FIRST_COMPLETED)
        if reader.done() and not parked.done():
            parked.cancel()
            parked = asyncio.create_task(self._state_at_end(container))
        state = await parked
        if not reader.done():
            await asyncio.wait({reader}, timeout=_DRAIN_S)
            reader.cancel()
        return state if isinstance(state, Ended) else self._judged(state)

    async def _state_at_end(self, container: str) -> State | Ended:
        """Return the container's last state.

        Ask again where the container engine does not answer: it may restart.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _AWAY_S
        while True:
            try:
                return await self._engine.ended(container)
            except ContainerError as error:
                if loop.time() >= deadline:
                    return Ended(code=-1, error=f"its exit code is not known: {error}")
                await asyncio.sleep(_AWAY_POLL_S)

    def _judged(self, state: State) -> Ended:
        if state.code < 0:
            return Ended(code=-1, error="its container is gone, and its exit code with it")
        is_oom_killed = state.is_oom_killed or self._looks_out_of_memory(state.code)
        number = state.code - _SIGNAL_BASE
        is_signal = number in self._sent or is_oom_killed
        return Ended(code=state.code, signal=number if is_signal else None, oom_killed=is_oom_killed)

    def _looks_out_of_memory(self, code: int) -> bool:
        """Return whether the run was out of memory.

        That is assumed for a SIGKILL that was not sent from here. A container engine notices some of these too late,
        and a process inside a container cannot kill process 1.
        """
        return code == _KILLED and not self._sent

    async def signal(self, number: int) -> None:
        """Send the signal to each container."""
        self._sent.add(number)
        for container in self._containers:
            with suppress(ContainerError):  # `wait` returns how it ended
                await self._engine.kill(container, number)

    async def kill(self) -> None:
        """Kill each container."""
        if self._is_suspended:
            await self.resume()  # a paused container cannot be killed
        await self.signal(_SIGKILL)

    async def suspend(self) -> None:
        """Pause each container."""
        self._is_suspended = True
        for container in self._containers:
            with suppress(ContainerError):
                await self._engine.pause(container)

    async def resume(self) -> None:
        """Continue each container."""
        self._is_suspended = False
        for container in self._containers:
            with suppress(ContainerError):
                await self._engine.unpause(container)

    async def processes(self) -> list[ProcessStat]:
        """Return the pids and commands of its processes: no more is known of them."""
        found = []
        for container in self._containers:
            with suppress(ContainerError):
                found += [ProcessStat(pid=pid, command=command) for pid, command in await self._engine.top(container)]
        return found

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Run a command in the first container."""
        if stdin:
            why = "the container runtime hands no stdin to a command: pass it as an argument"
            return Executed(code=_NOT_EXECUTABLE, stdout="", stderr=why)
        try:
            async with asyncio.timeout(timeout_s):
                done = await self._engine.execute(self._containers[0], words)
        except ContainerError as error:
            return Executed(code=failure_code(error), stdout="", stderr=str(error))
        return Executed(
            code=done.code, stdout=done.stdout.decode("utf-8", "replace"), stderr=done.stderr.decode("utf-8", "replace")
        )

    async def discard(self) -> None:
        """Remove the containers."""
        for container in self._containers:
            with suppress(ContainerError):  # the next engine of this home removes it
                await self._engine.remove(container)


def failure_code(error: ContainerError) -> int:
    """Return a shell's exit code for it: 127 for a command not found, else 126."""
    text = str(error).lower()
    is_missing = any(words in text for words in ("not found", "no such file"))
    return _NOT_FOUND if is_missing else _NOT_EXECUTABLE
