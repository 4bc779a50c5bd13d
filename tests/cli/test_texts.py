"""What the command prints without click is what click would print, to the last byte; it imports next to nothing."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from reconciler.cli import texts
from reconciler.cli.__main__ import main
from reconciler.cli.main import run
from reconciler.cli.texts import print_known
from tests.support.environment import clear_environment
from tests.support.interrupting import interrupt_import
from tools.texts import ROOT, SHELLS, WIDTHS, commands, generated, said

BY_CLICK = "import sys; from reconciler.cli.main import run; run(sys.argv[1:])"
STARTED = "import sys; from reconciler.cli.__main__ import main; main()"
OURS = {"reconciler", "reconciler.cli", "reconciler.cli.__main__", "reconciler.cli.texts"}
COMMANDS = [*commands()]
GENERATED = generated()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def started(*arguments: str, program: str = STARTED) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own, as the console script starts it."""
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, timeout=60)


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == GENERATED[path], "run: python tools/texts.py"


def test_there_is_no_other_file() -> None:
    folder = Path(texts.__file__).parent
    files = {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}
    assert files | {ROOT / "reconciler" / "version.py"} == GENERATED.keys()


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "no verb")
def test_help_is_what_click_makes(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns in (*WIDTHS, 250):
        monkeypatch.setenv("COLUMNS", str(columns))
        clicks = said(*words, "--help", columns=columns)
        for arguments in ([*words, "--help"], [*words, "-h"], ["help", *words]):
            assert print_known(arguments) == 0, arguments
            assert capsys.readouterr() == (clicks, "")
            assert run(arguments) == 0
            assert capsys.readouterr() == (clicks, "")


@pytest.mark.parametrize("columns", ["1", "52", "79", "81", "99"])
def test_help_of_another_width_is_left_to_click(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert [words for words in COMMANDS if print_known([*words, "--help"]) is not None] == []


@pytest.mark.parametrize("arguments", [["--version"], ["version"], *(["completion", shell] for shell in SHELLS)])
def test_version_and_scripts_are_what_click_prints(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert print_known(arguments) == 0
    ours = capsys.readouterr()
    assert run(arguments) == 0
    assert capsys.readouterr() == ours
    assert ours.out


@pytest.mark.parametrize("arguments", [[], ["engine"]], ids=str)
def test_a_group_alone_shows_its_help_as_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, ours = print_known(arguments), capsys.readouterr()
    assert (run(arguments), capsys.readouterr()) == (code, ours)
    assert (code, ours.out) == (64, "")
    assert ours.err == said(*arguments, "--help")


@pytest.mark.parametrize(
    "line",
    [
        "plan",
        "nosuch --help",
        "PLAN --help",
        "plan --help plan",
        "--help plan",
        "--help --help",
        "-v --help",
        "--version --help",
        "version -v",
        "help plan --help",
        "help -v plan",
        "help nosuch",
        "help engine nosuch",
        "invoke -- --help",
        "completion",
        "completion tcsh",
        "completion ../help-80.txt",
        "completion bash --no-color",
        "engine run",
    ],
)
def test_what_is_not_known_to_the_last_word_is_left_to_click(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_known(line.split()) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", ["engine run", "plan --help\n$ reconciler show", "", "-"])
def test_a_word_that_is_no_word_is_left_to_click(words: str) -> None:
    assert print_known([words, "--help"]) is None


def test_a_wrong_variable_is_an_error_before_any_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_LOG", "nonsense")
    assert print_known(["plan", "--help"]) is None
    assert run(["plan", "--help"]) == 64


@pytest.mark.parametrize("columns", [None, "132", "0", "-4", "wide", "", " 90 "])
@pytest.mark.parametrize("size", [0, 50, 100])
def test_the_width_is_the_one_that_click_is_told(
    columns: str | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, size, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "__stdout__", terminal)
        assert texts._columns() == shutil.get_terminal_size().columns
    assert texts._columns() == shutil.get_terminal_size().columns  # of one that was closed
    os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "more"),
    [("", {}), ("--help", {}), ("-h", {}), ("help", {}), ("plan --help", {}), ("help engine run", {}), ("engine", {})]
    + [(f"completion {shell}", {}) for shell in SHELLS]
    + [("--version", {"reconciler.version"}), ("version", {"reconciler.version"})],
)
def test_what_it_imports_beside_what_python_does(line: str, more: set[str]) -> None:
    def imported(*arguments: str) -> set[str]:
        command = [sys.executable, "-X", "importtime", *arguments]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
        return {row.rpartition("|")[2].strip() for row in told.splitlines() if row.startswith("import time:")}

    assert imported("-c", STARTED, *line.split()) - imported("-c", "pass") == OURS | {*more}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1:replace", "utf-16"])
def test_an_encoding_without_the_letters_gets_what_click_writes(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "…" in said("help", "--help")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    ended = started("help", "--help")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == started("help", "--help", program=BY_CLICK).stdout


@pytest.mark.slow
def test_a_closed_stdout_is_no_error() -> None:
    ended = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", STARTED, "--help"], timeout=60)
    assert ended.returncode == 0


@pytest.mark.slow
def test_words_are_completed_instead_where_a_shell_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "_RECONCILER_COMPLETE": "bash_complete",
        "COMP_WORDS": "reconciler --vers",
        "COMP_CWORD": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert started("--help").stdout == b"plain,--version\n"


def test_ctrl_c_while_the_texts_are_imported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupt_import(monkeypatch, "reconciler.cli.texts")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capfd.readouterr().err == "interrupted\n"
