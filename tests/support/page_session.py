"""Run the sessions of a page from top to bottom, as its reader would, in a directory of their own.

What is shown below a command is what it must show: `…` stands for any text, and alone on a line for any lines. A
command must succeed, unless its code is asked for (`; echo $?`). Where a question is shown with an answer behind it,
that is typed.

`reconciler` runs in this process, against an engine in this process that it takes for the local one. A page that says
`reconciler engine` has an engine of its own. Everything else is a shell's.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from reconciler.cli.main import run
from reconciler.cli.ui import console
from reconciler.engine.server.daemon import stop_engine
from reconciler.model.local_engine import LocalEngine
from reconciler.model.secret import Secret
from reconciler.targets import Target
from reconciler.testing.live import LiveEngine
from tests.support.environment import clear_environment

FRAMEWORKS: Final = Path(__file__).parent / "frameworks"
_QUESTION: Final = re.compile(r"^.*(?:accepted|to go on): (\S+)$")
_CODE: Final = "; echo $?"
_SHELL: Final = re.compile(r"[|&;<>`]|\$\(")
_CAT: Final = re.compile(r"\"\$\(cat (\S+)\)\"")
_INTO: Final = re.compile(r"^(reconciler [^|&;<>`]*?) > (\S+)$")


class Session:
    """A shell that a reader of the page types into; `engine` is None where the page starts one."""

    def __init__(self, place: Path, engine: LiveEngine | None) -> None:
        self.directory = place / "shop"
        self.directory.mkdir()
        self.home = place / "home"
        self.environment = {
            "PATH": f"{FRAMEWORKS / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(place),
            "LANG": "C.UTF-8",
            "RECONCILER_HOME": str(self.home),
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        self._engine = engine

    def write(self, name: str, text: str) -> None:
        """Write a file that the page shows."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, command: str, shown: list[str]) -> None:
        """Run the command, and check its code and what it shows."""
        asks_code = command.endswith(_CODE)
        answers = [found[1] for line in shown if (found := _QUESTION.match(line))]
        code, text = self._run(command.removesuffix(_CODE), answers)
        if asks_code:
            text += f"{code}\n"
        assert asks_code or code == 0, f"$ {command}\n{text}\nended with {code}"
        wanted = "\n".join(shown)
        if wanted.strip():
            lines = "".join(f"{line.rstrip()}\n" for line in text.rstrip().split("\n"))
            assert re.fullmatch(_pattern(wanted), lines), f"$ {command}\n{text}\nand the page shows:\n{wanted}"

    def _run(self, command: str, answers: list[str]) -> tuple[int, str]:
        command = _CAT.sub(lambda found: (self.directory / found[1]).read_text().strip(), command)
        word, _, rest = command.partition(" ")
        if word == "export":
            self.environment |= dict(one.split("=", 1) for one in shlex.split(rest, comments=True))
        elif word == "unset":
            for name in rest.split():
                self.environment.pop(name, None)
        elif word == "cd":
            self.directory = (self.directory / rest).resolve()
        elif word == "reconciler" and (into := _INTO.match(command)):
            code, out, err = self._reconciler(into[1], answers)
            (self.directory / into[2]).write_text(out)
            return code, err
        elif word == "reconciler" and not _SHELL.search(command):
            code, out, _ = self._reconciler(command, answers, is_one=True)
            return code, out
        else:
            return self._shell(command)
        return 0, ""

    def _shell(self, command: str) -> tuple[int, str]:
        environment = self.environment | {"RECONCILER_RESOLVE": "never"}
        if self._engine:
            environment |= self._engine.environment | {"RECONCILER_TARGET": self._engine.url}
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        return ended.returncode, ended.stdout

    def _reconciler(self, command: str, answers: list[str], *, is_one: bool = False) -> tuple[int, str, str]:
        out = io.StringIO()
        err = out if is_one else io.StringIO()
        with self._patched(answers), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(shlex.split(command, comments=True)[1:])
        return code, out.getvalue(), err.getvalue()

    @contextlib.contextmanager
    def _patched(self, answers: list[str]) -> Iterator[None]:
        typed = iter(answers)

        def answer(_interrupts: object) -> str:
            line = f"{next(typed)}\n"
            sys.stderr.write(line)
            return line

        with pytest.MonkeyPatch.context() as patch:
            clear_environment(patch)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.directory)
            if self._engine:
                target = _local(self._engine)
                patch.setattr("reconciler.targets._local", lambda _environment: target)
            if answers:
                patch.setattr(console, "is_interactive", lambda: True)
                patch.setattr(console, "_read_line", answer)
            yield


@contextlib.contextmanager
def open_session(place: Path, *, has_own_engine: bool = False) -> Iterator[Session]:
    """Yield a session. What its machines run finds the stand-ins for frameworks on the PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{FRAMEWORKS / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
        if has_own_engine:
            session = Session(place, None)
            try:
                yield session
            finally:
                stop_engine(session.home)
            return
        with LiveEngine(latency="none") as engine:
            yield Session(place, engine)


def _local(engine: LiveEngine) -> Target:
    return Target(
        name="local",
        base_url=engine.url,
        logs_url=engine.url,
        token=Secret(engine.token),
        is_paced=False,
        log_delay_s=0.0,
        runs_on_host=True,
        local=LocalEngine(find_url=lambda: engine.url, start="reconciler engine start"),
    )


def _pattern(wanted: str) -> str:
    """Return the pattern of what is shown, each line with its end."""
    lines = (line.rstrip() for line in wanted.rstrip().split("\n"))
    shown = (r"(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + r"\n" for line in lines)
    return "".join(shown)
