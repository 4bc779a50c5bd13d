"""A runtime for tests: commands are scripts that say what happens.

The words of a script, in order: `say TEXT` and `err TEXT` print a line, `run SECONDS` takes time, `exit CODE` and
`die SIGNAL` (a number) end it; `stubborn`, anywhere, ignores all signals but SIGKILL. A script without an end exits
with 0. Other words are ignored, so any other command exits with 0 at once.
"""

import asyncio
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from reconciler.engine.runtime.base import Ended, Executed, Launch, Leftover, ProcessStat, TakeOutput

_WORDS: Final = {"say": str, "err": str, "run": float, "exit": int, "die": int}
_USAGE: Final = "say TEXT, err TEXT, run SECONDS, exit CODE, die SIGNAL, stubborn"


def parse_script(text: str) -> tuple[str, ...]:
    """Return the words of a script, split as a shell does.

    Raises ValueError, which lists the known words.
    """
    words = shlex.split(text)
    rest = iter(words)
    for word in rest:
        if word == "stubborn":
            continue
        if word not in _WORDS:
            raise ValueError(f"script {text!r}: unknown word {word!r}; known: {_USAGE}")
        try:
            _WORDS[word](next(rest))
        except (StopIteration, ValueError) as error:
            raise ValueError(f"script {text!r}: {word} what? known: {_USAGE}") from error
    return tuple(words)


class ScriptedRuntime:
    """Run scripts on the time of the running loop.

    `starts` lists every start; `running` has how many runs go on, by machine id.
    """

    name = "scripted"
    uses_image = False
    container_host: str | None = None
    port_style = ""

    def __init__(self) -> None:
        self.starts: list[Launch] = []
        self.running: dict[str, int] = {}
        self.most_at_once_on_a_machine: int = 0
        self._scripts: list[tuple[str, tuple[str, ...]]] = []

    def script(self, words: tuple[str, ...], *, machine: str = "*") -> None:
        """Let machines of matching names run these words instead of their command.

        The last one given wins.
        """
        self._scripts.insert(0, (machine, words))

    def words_of(self, launch: Launch) -> tuple[str, ...]:
        """Return the script of a start: one given for the machine, else its command."""
        given = (words for pattern, words in self._scripts if fnmatchcase(launch.name, pattern))
        return next(given, launch.commands[0].words)

    async def start(self, launch: Launch, take: TakeOutput) -> "_ScriptedRun":
        """Start the script of the launch."""
        self.starts.append(launch)
        self.running[launch.machine_id] = self.running.get(launch.machine_id, 0) + 1
        self.most_at_once_on_a_machine = max(self.most_at_once_on_a_machine, self.running[launch.machine_id])
        return _ScriptedRun(self, launch, take)

    def forget(self, machine_id: str) -> None:
        """Do nothing: nothing is left."""

    async def prepare(self, image: str) -> None:
        """Do nothing: no image is used."""

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """Return nothing: no run outlives its engine."""
        return {}

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class _ScriptedRun:
    pids: tuple[tuple[int, int], ...] = ()

    def __init__(self, runtime: ScriptedRuntime, launch: Launch, take: TakeOutput) -> None:
        self._runtime = runtime
        self._machine_id = launch.machine_id
        self._words = runtime.words_of(launch)
        self._take = take
        self._signal: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._is_stubborn = "stubborn" in self._words

    async def wait(self) -> Ended:
        script = asyncio.create_task(self._script())
        ends: set[asyncio.Future[Any]] = {script, self._signal}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        self._runtime.running[self._machine_id] -= 1
        if script.done():
            return script.result()
        script.cancel()
        number = self._signal.result()
        return Ended(code=128 + number, signal=number)

    async def _script(self) -> Ended:
        words = iter(self._words)
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
        """Do nothing: a script goes on, as it has no processes to pause."""

    async def resume(self) -> None:
        """Do nothing: see suspend."""

    async def processes(self) -> list[ProcessStat]:
        return []

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        """Return the words and the stdin as output."""
        return Executed(code=0, stdout=" ".join(words) + stdin.decode(), stderr="")

    async def discard(self) -> None:
        """Do nothing: nothing is left."""
