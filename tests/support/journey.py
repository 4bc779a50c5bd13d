"""A new user in an empty directory: types commands as the README, a page or the last command has told."""

import re
import shlex
from pathlib import Path
from typing import Final

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
_LOCAL: Final = " --target local"


class Journey:
    """What a user types, on an engine on virtual time that stands for the local one, and what was told so far.

    `page` is the one of docs/ that the user reads beside the README, which links it. `typed` counts the commands.
    """

    def __init__(self, engine: VirtualEngine, directory: Path, page: str) -> None:
        assert f"(docs/{page}" in README, f"the README does not lead to {page}"
        self.engine = engine
        self.directory = directory
        self.typed: list[str] = []
        self.told = README + (ROOT / "docs" / page).read_text()
        self._line = CommandLine(engine, engine.transport, directory)
        self._variables: dict[str, str] = {}

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def export(self, name: str, value: str) -> None:
        """Set a variable of the shell, as the last command said."""
        assert f"export {name}=…" in self.told
        self.typed.append(f"export {name}={value}")
        self._variables[name] = value

    def types(self, line: str, code: int = 0) -> str:
        """Run the line, and return all that it shows. `> FILE` at its end is as in a shell."""
        ended = self._run(line)
        shown = ended.out + ended.err
        assert ended.code == code, f"{line} ended with {ended.code}:\n{shown}"
        return shown

    def follows(self, line: str, code: int = 0) -> str:
        """Run a line that was told word by word."""
        assert line in self.told, f"nothing has said to type: {line}"
        return self.types(line, code)

    def runs(self, line: str, code: int = 0) -> str:
        """Run the line, and return what a task wrote."""
        ended = self._run(line)
        assert ended.code == code, ended
        return ended.out

    def _run(self, line: str) -> Ended:
        words, _, file = line.removesuffix(_LOCAL).partition(" > ")
        program, *arguments = shlex.split(words)
        assert program == "reconciler", line
        named = next(word for word in arguments if re.fullmatch(r"[a-z]+", word))
        assert re.search(rf"reconciler (-\S+ \S+ )?{named}\b", self.told), f"nobody has told of {named}"
        self.typed.append(line)
        ended = self._line.run(*arguments, environment=self._variables)
        self.told += ended.out + ended.err
        if file:
            self.write(file, ended.out)
        return ended

    def versions(self, app: str) -> dict[str, tuple[str, str, int]]:
        """Each machine's version, state and number of starts: they tell of every restart."""
        return {
            one["name"]: (one["instance_id"], one["state"], sum(event["type"] == "start" for event in one["events"]))
            for one in self.engine.machines(app)
        }
