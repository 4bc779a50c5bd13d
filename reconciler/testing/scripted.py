"""A runtime that runs nothing: a command says itself how long it takes, what it prints and how it ends.

The words of a script, in the order in which they happen: `say TEXT` and `err TEXT` print a line, `run SECONDS` takes
time, `exit CODE` and `die SIGNAL` (a number) end it; `stubborn`, anywhere, ignores every signal but the kill. A script
without an end exits with 0. Words that are none of these are passed over, so any other command exits with 0 at once.
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
    """The script's words, split as a shell splits them. Raises ValueError with the words that there are."""
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
    """Runs scripts on the running loop's time. `starts` has every start, `running` how many go on, by machine id."""

    name = "scripted"
    uses_image = False
    container_host: str | None = None
    port_style = ""

    def __init__(self) -> None:
        self.starts: list[Launch] = []
        self.running: dict[str, int] = {}
        self.most_at_once_on_a_machine = 0
        self._scripts: list[tuple[str, tuple[str, ...]]] = []

    def script(self, words: tuple[str, ...], *, machine: str = "*") -> None:
        """Lets machines of matching names do this whatever their command is; what is given last wins."""
        self._scripts.insert(0, (machine, words))

    def words_of(self, launch: Launch) -> tuple[str, ...]:
        """The script of the start: one given for its machine's name, else the command itself."""
        given = (words for pattern, words in self._scripts if fnmatchcase(launch.name, pattern))
        return next(given, launch.commands[0].words)

    async def start(self, launch: Launch, take: TakeOutput) -> "_ScriptedRun":
        self.starts.append(launch)
        self.running[launch.machine_id] = self.running.get(launch.machine_id, 0) + 1
        self.most_at_once_on_a_machine = max(self.most_at_once_on_a_machine, self.running[launch.machine_id])
        return _ScriptedRun(self, launch, take)

    def forget(self, machine_id: str) -> None:
        """Nothing is left behind."""

    async def prepare(self, image: str) -> None:
        """No image is used."""

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """Nothing outlives its engine."""
        return {}

    async def close(self) -> None:
        """Nothing is held."""


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
