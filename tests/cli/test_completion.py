"""What a shell is offered: by its own script in bash, otherwise by the questions that the scripts ask."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from reconciler.cli.main import VERBS, cli, main, run
from reconciler.cli.ui.completion import FINDERS, PROGRAM, VARIABLE, complete
from reconciler.cli.ui.values import Named, Text
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: s
apps:
  shop:
    image: "i:%s"
    tasks:
      work: {command: [run, '1000'], count: 2}
      other: {command: [run, '1000']}
    services:
      web: {command: [run, '1000'], count: {ams: 1}}
  blog:
    image: i
    tasks:
      publish: {command: [run, '1000']}
"""
HOSTILE = 'version: 1\nname: s\napps: {a: {tasks: {"$(touch x)": {}, "a;b": {}, "a b": {}, "fine": {}}}}\n'
# What is made up, or is known to nobody here.
FREE = {
    *((verb, "push_to") for verb in ("apply", "build", "plan")),
    *((verb, "expected") for verb in ("apply", "release")),
    *(("engine conform", name) for name in ("image", "org", "region")),
    *(("import", name) for name in ("app_name", "org", "skipped", "stack")),
    *(("init", name) for name in ("name", "org")),
    *(("invoke", name) for name in ("args", "env", "idempotency_key")),
}
SHELLS = ("bash", "zsh", "fish")
WITH_COMMAND = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with specs, and no token, target or engine."""
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "machines.yaml": SPEC % "1",
        "machines.production.yaml": "{}",
        "unset.yaml": SPEC % "${TAG}",
        "no.yaml": "apps: [",
        "list.yaml": "- a",
        "hostile.yaml": HOSTILE,
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "machines.yaml").write_text("version: 1\nname: t\napps: {a: {image: i, tasks: {low: {}}}}\n")
    return tmp_path


class Asked:
    """Asks as a shell's script does, and returns the words that it gets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._patch = monkeypatch
        self._capture = capfd

    def __call__(self, line: str, begun: str = "", *, shell: str = "bash") -> list[str]:
        words = f"{PROGRAM} {line} {begun}".strip()
        self._patch.setenv("COMP_WORDS", words)
        self._patch.setenv("COMP_CWORD", begun if shell == "fish" else str(len(words.split()) - bool(begun)))
        assert complete(cli, f"{shell}_complete") == 0
        shown = self._capture.readouterr()
        assert shown.err == ""
        lines = shown.out.splitlines()
        return lines[1::3] if shell == "zsh" else [line.partition(",")[2] for line in lines if line]


@pytest.fixture
def asked(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    return Asked(monkeypatch, capfd)


@pytest.mark.parametrize(
    ("line", "begun", "words"),
    [
        ("", "va", "validate"),
        ("-f machines.yaml", "dest", "destroy"),
        ("plan", "--regi", "--region"),
        ("plan --only", "", "work other publish web"),
        ("plan --exclude", "w", "work web"),
        ("plan --region", "", "iad ams"),
        ("-a blog plan --only", "", "publish"),
        ("plan -a", "", "shop blog"),
        ("plan --environment", "", "production"),
        ("plan -o", "m", "markdown"),
        ("plan --target", "", "fly local"),
        ("plan --resolve", "a", "always auto"),
        ("invoke", "", "work other publish"),
        ("-C below invoke", "", "low"),
        ("invoke -f unset.yaml", "", "work other publish"),
        ("-a blog -f unset.yaml invoke", "", "publish"),
        ("-f unset.yaml logs", "", "work other publish web"),
        ("invoke -f hostile.yaml", "", "fine"),
        ("runs", "o", "other"),
        ("release", "w", "work web"),
        ("logs", "w", "work web"),
        ("help", "unl", "unlock"),
        ("help engine", "sto", "stop"),
        ("help plan", "", ""),
        ("help nosuch", "", ""),
        ("engine", "sto", "stop"),
        ("schema", "ev", "event"),
        ("completion", "", "bash zsh fish"),
        ("nosuch", "", ""),
        ("--version", "va", "validate"),
        ("plan --help --only", "we", "web"),
    ],
)
def test_what_is_offered(asked: Asked, line: str, begun: str, words: str) -> None:
    assert [word for word in asked(line, begun) if word] == words.split()


@pytest.mark.parametrize("line", ["plan --json-into", "plan -f", "validate", "diff a", "show", "apply --events"])
def test_files_are_left_to_the_shell(asked: Asked, capfd: pytest.CaptureFixture[str], line: str) -> None:
    assert asked(line, "./ma") == ["./ma"]
    assert complete(cli, "bash_complete") == 0
    assert capfd.readouterr().out == "file,./ma\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_is_offered_the_same(asked: Asked, shell: str) -> None:
    assert [word.partition("\t")[0] for word in asked("invoke", "o", shell=shell)] == ["other"]
    assert [word.partition("\t")[0] for word in asked("", "unl", shell=shell)] == ["unlock"]


@pytest.mark.parametrize(
    "line",
    [
        "-f none.yaml invoke",
        "-f - invoke",
        "-f no.yaml invoke",
        "-f list.yaml invoke",
        "-C none invoke",
        "-a nosuch invoke",
        "wait",
        "--target local wait",
        "--target nonsense cancel",
        "--target http://127.0.0.1:1 wait",
    ],
)
def test_what_cannot_be_found_is_not_offered_in_silence_and_no_engine_starts(
    asked: Asked, place: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Unread())
    assert asked(line) == []
    assert not (place / "home").exists()


class Unread:
    """A stdin that nobody may read."""

    def __getattr__(self, name: str) -> None:
        pytest.fail(f"stdin is read: {name}")


@pytest.fixture
def engine(place: Path) -> Iterator[VirtualEngine]:
    with VirtualEngine() as engine:
        yield engine


def test_runs_are_asked_of_the_target(engine: VirtualEngine, place: Path) -> None:
    line = CommandLine(engine, engine.transport, place)
    assert line.run("apply", "--yes").code == 0
    first, second = (line.run("invoke", "work", "--no-wait").out.split()[0] for _ in range(2))
    assert line.run("cancel", first).code == 0
    assert {*line.complete("wait")} == {first, second}
    assert line.complete("cancel") == [second]
    assert {*line.complete("logs", "work-")} == {first, second}
    assert line.complete("-a blog wait") == []


def test_a_target_that_does_not_answer_is_not_waited_for(engine: VirtualEngine, place: Path) -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    before = engine.clock.monotonic()
    assert CommandLine(engine, Silent(), place).complete("logs") == ["work", "other", "publish", "web"]
    assert engine.clock.monotonic() - before == 1.0


def test_bash_completes_by_the_script_that_is_printed(place: Path) -> None:
    script = """
eval "$(reconciler completion bash)"
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _reconciler_completion reconciler; }
ask reconciler invoke wo; echo "${COMPREPLY[*]}"
ask reconciler -C below plan --only ""; echo "${COMPREPLY[*]}"
ask reconciler wait ""; echo "${COMPREPLY[*]}"
complete -p reconciler
"""
    ended = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": WITH_COMMAND},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    *offered, registered = ended.stdout.splitlines()
    assert offered == ["work", "low", ""]
    assert registered.endswith("-F _reconciler_completion reconciler")


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes_by_the_script_that_is_printed(place: Path) -> None:
    ended = subprocess.run(
        ["fish", "--no-config", "-c", 'reconciler completion fish | source; complete -C "reconciler invoke wo"'],
        env={**os.environ, "PATH": WITH_COMMAND},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout.strip(), ended.stderr) == ("work", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_the_installed_command_and_its_shell_can_read_it(
    place: Path, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in script
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=script, text=True, check=True, timeout=60)


def test_the_command_completes_where_the_script_asks_it_to(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "reconciler vers")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert main() == 0
    assert capfd.readouterr().out.splitlines() == ["plain", "version", VERBS["version"]]
    for other in ("bash_source", "nonsense", "nosuch_complete"):
        monkeypatch.setenv(VARIABLE, other)
        assert main() == 0
        assert capfd.readouterr() == ("", "")


def test_each_word_that_could_be_completed_is() -> None:
    assert {*_left_alone(cli, "")} == FREE


def _left_alone(command: click.Command, verb: str) -> Iterator[tuple[str, str]]:
    """The options and arguments that take any text, and that nothing completes."""
    for one in command.params:
        is_text = one.type is click.STRING or isinstance(one.type, Text | Named)
        if is_text and one._custom_shell_complete is None:
            yield verb, str(one.name)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from _left_alone(below, f"{verb} {name}".strip())


@pytest.mark.parametrize("line", ["plan -o ", "plan --target ", "plan -f ma", "-C . va", "help pl", "completion "])
def test_what_is_not_in_the_spec_is_offered_without_importing_what_reads_it(place: Path, line: str) -> None:
    program = """
import sys
from reconciler.cli.main import main
main()
print(*sys.modules, file=sys.stderr)
"""
    words = f"{PROGRAM} {line}"
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    ended = subprocess.run([sys.executable, "-c", program], env=os.environ | asked, capture_output=True, timeout=60)
    imported = ended.stderr.decode().split()
    assert ended.stdout.strip()
    assert [name for name in imported if name.startswith(("yaml", "reconciler.spec"))] == []


def test_every_finder_is_used() -> None:
    sources = "".join(path.read_text() for path in Path(str(sys.modules["reconciler.cli"].__path__[0])).rglob("*.py"))
    assert [
        name for name in FINDERS if f'completes("{name}")' not in sources and f'_completed("{name}"' not in sources
    ] == []
