"""What each verb does where its output cannot be written, as a table: a full disk, a pipe that nobody reads any more.

Each is a process of its own: what the interpreter does at its exit counts too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from reconciler.cli.main import VERBS

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: s
apps:
  a:
    image: i
    tasks:
      t: {command: [sh, -c, "echo one; echo two >&2; exit 4"]}
      slow: {command: [sh, -c, "echo begun; exec sleep 1000"], count: 2}
"""
MANY = "version: 1\nname: many\napps: {many: {image: i, tasks: {t: {command: [run], count: 4}}}}\n"
RUN = "RUN"  # stands for a run that goes on
CANCELLED = "CANCELLED"  # for one that goes on until it is cancelled
ENDED = "ENDED"  # for one that has ended, with 4
FULL = "output incomplete: No space left on device"
TASK = "; the task ended with 4"

FULL_DISK = Path("/dev/full")
# Files of 1024 bytes at most. Python would keep bytecode that is cut off there, and from then on fail to read it.
SMALL_FILES = ("sh", "-c", 'ulimit -f 1; PYTHONDONTWRITEBYTECODE=1 exec "$@"', "sh")
needs_dev_full = pytest.mark.skipif(not FULL_DISK.exists(), reason="no /dev/full here")


THEIRS = "version: 1\nname: theirs\napps: {theirs: {image: i, tasks: {t: {command: ['true']}}}}\n"


class Row(NamedTuple):
    """A command line, the stream that it writes to, how it ends, and what it tells besides of its work."""

    arguments: str
    stream: str = "stdout"
    code: int = 1
    told: str = ""
    beside: str = ""  # what it writes to the other stream


TABLE = (
    Row("--help"),
    Row("--version"),
    Row("", "stderr"),
    Row("plan --help"),
    Row("nosuch", "stderr"),
    Row("init -f -"),
    Row("init -f machines.yaml", "stderr"),
    Row("validate"),
    Row("validate -f none.yaml", "stderr"),
    Row("plan"),
    Row("plan -o json"),
    Row("plan --out saved", "stderr"),
    Row("plan --trace-http", "stderr"),
    Row("show saved"),
    Row("diff machines.yaml machines.yaml"),
    Row("apply --yes"),
    Row("apply --yes --no-revision -o json", told="; the changes were made"),
    Row("drift"),
    Row("status"),
    Row("invoke t", "stdout", 125, TASK, beside="two\n"),
    Row("invoke t", "stderr", 125, TASK),
    Row("invoke t -o json", "stdout", 125, TASK, beside="one\ntwo\n"),
    Row("invoke t -o json", "stderr", 125, TASK),
    Row("invoke nosuch", "stderr", 125),
    Row("invoke", "stderr", 125),
    Row("runs"),
    Row(f"wait {ENDED}", "stderr", 125, TASK),
    Row(f"wait {ENDED} -o json", "stdout", 125, TASK),
    Row(f"logs {ENDED}"),
    Row(f"logs {RUN} --follow"),
    Row(f"cancel {CANCELLED}", "stderr"),
    Row("unlock"),
    Row("build"),
    Row("engine status"),
    Row("engine env"),
    Row("engine start", "stderr"),
    Row("help plan"),
    Row("schema event"),
    Row("completion bash"),
    Row("doctor"),
    Row("version -v"),
    Row("import theirs"),
    Row("release --yes"),  # which cannot show what it would do
    Row("destroy --yes"),  # the same
)


class Commands:
    """Runs commands as processes of their own, in a directory and a home of their own."""

    def __init__(self, directory: Path, warm: Path) -> None:
        self._warm = warm / "bin" / "python"
        self.directory = directory
        self.runs: dict[str, str] = {}
        (directory / "machines.yaml").write_text(SPEC)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FLY_", "RECONCILER_", "GITHUB_", "CI"))
        } | {
            "RECONCILER_HOME": str(directory / "home"),
            "RECONCILER_TARGET": "local",
            "HOME": str(directory),
        }

    def run(
        self,
        *arguments: str,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
        through: tuple[str, ...] = (),
        is_anew: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """`through` another program, or `is_anew`: by a Python that has imported nothing yet."""
        python = [sys.executable] if through or is_anew else [self._warm, "-I"]
        return subprocess.run(
            [*through, *python, "-m", "reconciler.cli", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            timeout=60,
        )

    def words(self, row: Row) -> list[str]:
        """The arguments with runs in their places."""
        return [self.runs.get(word) or (self.begun() if word == CANCELLED else word) for word in row.arguments.split()]

    def begun(self) -> str:
        """A run that has just begun, and goes on."""
        return self.invoked("slow", "--no-wait")

    def invoked(self, *arguments: str) -> str:
        return str(json.loads(self.run("invoke", *arguments, "-o", "json").stdout)["run"])


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Iterator[Commands]:
    found = Commands(tmp_path_factory.mktemp("unwritable"), warm)
    try:
        assert found.run("apply", "--yes").returncode == 0
        (found.directory / "theirs.yaml").write_text(THEIRS)
        for verb in ("apply", "release"):
            assert found.run("-f", "theirs.yaml", verb, "--yes").returncode == 0
        assert found.run("plan", "--out", "saved").returncode == 0
        found.runs = {ENDED: found.invoked("t"), RUN: found.begun()}
        yield found
    finally:
        found.run("engine", "stop")


def unread() -> IO[str]:
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


@needs_dev_full
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.arguments} {row.stream}")
def test_a_full_disk_is_one_line_and_the_right_code(commands: Commands, row: Row) -> None:
    words = commands.words(row)
    with FULL_DISK.open("w") as full:
        ended = commands.run(*words, **{row.stream: full}, is_anew=True)  # type: ignore[arg-type]
    assert ended.returncode == row.code, ended
    if row.stream == "stdout":
        assert ended.stderr == row.beside + FULL + row.told + "\n"


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.arguments} {row.stream}")
def test_a_closed_pipe_is_the_same_code_and_nothing_is_printed(commands: Commands, row: Row) -> None:
    words = commands.words(row)
    with unread() as pipe:
        ended = commands.run(*words, **{row.stream: pipe})  # type: ignore[arg-type]
    assert ended.returncode == row.code, ended
    if row.stream == "stdout":
        assert ended.stderr == row.beside


@needs_dev_full
def test_both_streams_on_a_full_disk(commands: Commands) -> None:
    with FULL_DISK.open("w") as full:
        assert commands.run("invoke", "t", stdout=full, stderr=full, is_anew=True).returncode == 125
        assert commands.run("plan", stdout=full, stderr=full, is_anew=True).returncode == 1


@needs_dev_full
def test_an_apply_that_cannot_say_how_far_it_is_finishes_what_is_under_way(commands: Commands) -> None:
    spec = commands.directory / "many.yaml"
    spec.write_text(MANY)
    with FULL_DISK.open("w") as full:
        ended = commands.run(
            "-f", "many.yaml", "apply", "--yes", "--no-revision", "-o", "json", "--parallelism", "1", stderr=full
        )
    assert ended.returncode == 1
    report = json.loads(ended.stdout)
    assert report["interrupted"]
    assert {entry["status"] for entry in report["entries"]} <= {"done", "skipped"}
    assert "skipped" in {entry["status"] for entry in report["entries"]}
    assert commands.run("-f", "many.yaml", "unlock").returncode == 0
    assert commands.run("-f", "many.yaml", "apply", "--yes").returncode == 0


@needs_dev_full
def test_an_engine_that_cannot_say_where_it_serves_ends(commands: Commands) -> None:
    with FULL_DISK.open("w") as full:
        ended = commands.run("engine", "run", stderr=full, through=("env", "RECONCILER_HOME=another"))
    assert ended.returncode == 1


def test_a_plan_that_does_not_fit_on_the_disk_leaves_no_file(commands: Commands) -> None:
    before = {*commands.directory.iterdir()}
    ended = commands.run("plan", "--out", "large", through=SMALL_FILES)
    said, hint = ended.stderr.splitlines()
    assert (ended.returncode, said) == (1, "error: cannot save the plan as large: File too large")
    assert "another one" in hint
    assert {*commands.directory.iterdir()} == before


def test_every_verb_is_in_the_table() -> None:
    assert {row.arguments.partition(" ")[0] for row in TABLE} >= VERBS.keys()
