"""A runtime that runs nothing: a command says itself how long it takes, what it prints and how it ends.

Words: `say TEXT`, `err TEXT`, `run SECONDS`, `exit CODE`, `die SIGNAL`, `stubborn` (ignores every signal but the kill).
"""

import asyncio
from collections.abc import Mapping

from reconciler.engine.runtime import Ended, Executed, Launch, Left, ProcessStat, TakeOutput
from tests.support.virtual_time import VirtualClock


class ScriptedRuntime:
    name = "scripted"
    uses_image = False
    container_host: str | None = None
    port_style = ""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.starts: list[Launch] = []
        self.running: dict[str, int] = {}
        self.most_at_once_on_a_machine = 0

    async def start(self, launch: Launch, take: TakeOutput) -> "_ScriptedRun":
        self.starts.append(launch)
        self.running[launch.machine_id] = self.running.get(launch.machine_id, 0) + 1
        self.most_at_once_on_a_machine = max(self.most_at_once_on_a_machine, self.running[launch.machine_id])
        return _ScriptedRun(self, launch, take)

    def forget(self, machine_id: str) -> None:
        """Nothing is left behind."""

    async def prepare(self, image: str) -> None:
        """No image is used."""

    async def recover(self, left: Mapping[str, Left]) -> Mapping[str, Ended]:
        """Nothing outlives its engine."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


class _ScriptedRun:
    pids: tuple[tuple[int, int], ...] = ()

    def __init__(self, runtime: ScriptedRuntime, launch: Launch, take: TakeOutput) -> None:
        self._runtime = runtime
        self._launch = launch
        self._take = take
        self._signal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._is_stubborn = "stubborn" in launch.commands[0].words

    async def wait(self) -> Ended:
        script = asyncio.ensure_future(self._script())
        await asyncio.wait({script, self._signal}, return_when=asyncio.FIRST_COMPLETED)
        self._runtime.running[self._launch.machine_id] -= 1
        if script.done():
            return script.result()
        script.cancel()
        number = self._signal.result()
        return Ended(code=128 + number, signal=number)

    async def _script(self) -> Ended:
        words = iter(self._launch.commands[0].words)
        for word in words:
            match word:
                case "say":
                    self._take("stdout", next(words))
                case "err":
                    self._take("stderr", next(words))
                case "run":
                    await asyncio.sleep(float(next(words)))
                case "exit":
                    return Ended(code=int(next(words)))
                case "die":
                    number = int(next(words))
                    return Ended(code=128 + number, signal=number)
        return Ended(code=0)

    async def signal(self, number: int) -> None:
        if not self._signal.done() and (number == 9 or not self._is_stubborn):
            self._signal.set_result(number)

    async def kill(self) -> None:
        await self.signal(9)

    async def suspend(self) -> None:
        """A script goes on: it has no processes that could stand still."""

    async def resume(self) -> None:
        """See suspend."""

    async def processes(self) -> list[ProcessStat]:
        return []

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Says the words, and what came in."""
        return Executed(code=0, stdout=" ".join(words) + stdin.decode(), stderr="")

    async def discard(self) -> None:
        """Nothing is left behind."""
