"""What completes verbs and options without click is what click offers, to the last byte; it imports next to nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from reconciler.cli.main import cli
from reconciler.cli.texts.words import print_words
from reconciler.cli.ui.completion import VARIABLE, complete
from tests.support.environment import clear_environment
from tools.texts import SHELLS, commands

pytestmark = pytest.mark.slow

STARTED = "from reconciler.cli.__main__ import main; main()"
OURS = {"reconciler", "reconciler.cli", "reconciler.cli.__main__", "reconciler.cli.texts", "reconciler.cli.texts.words"}
COMMANDS = [*commands()]
GROUPS = [(), ("engine",)]
BEGUN = ("", "-", "--", "-v", "--re", "--output", "st", "e", "zz", "_", "--=", "--output=j")


class Asked:
    """Asks as a shell's script does; what answers is `print_words`, or click."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._patch = monkeypatch
        self._capture = capfd

    def __call__(self, shell: str, line: str, at: str) -> tuple[str | None, str]:
        """Return both answers. Of `print_words` it is None if it leaves the line to click."""
        self._patch.setenv("COMP_WORDS", line)
        self._patch.setenv("COMP_CWORD", at)
        is_known = print_words(f"{shell}_complete") is not None
        ours = self._capture.readouterr()
        assert ours.err == ""
        assert complete(cli, f"{shell}_complete") == 0
        return ours.out if is_known else None, self._capture.readouterr().out


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    clear_environment(monkeypatch)
    return Asked(monkeypatch, capfd)


def lines_of(words: tuple[str, ...], begun: str) -> Iterator[tuple[str, str, str]]:
    line = " ".join(("reconciler", *words, begun)).rstrip()
    yield "fish", line, begun
    for shell in ("bash", "zsh"):
        yield shell, line, str(len(words) + 1)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "no verb")
def test_verbs_and_options_are_those_that_click_offers(asked: Asked, words: tuple[str, ...]) -> None:
    for begun in BEGUN:
        for shell, line, at in lines_of(words, begun):
            ours, clicks = asked(shell, line, at)
            is_known = "=" not in begun and (words in GROUPS or begun.startswith("-"))
            assert ours == (clicks if is_known else None), (shell, line)
            assert begun not in {"-", "--"} or "--help" in clicks, (shell, line)


def test_the_groups_are_these() -> None:
    context = click.Context(cli)
    below = [name for name in cli.list_commands(context) if isinstance(cli.get_command(context, name), click.Group)]
    assert [(), *((name,) for name in below)] == GROUPS


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("reconciler plan --json --re", "3"),
        ("reconciler -a shop pl", "3"),
        ("reconciler 'pl", "1"),
        ('reconciler "plan" --re', "2"),
        ("reconciler pl\\", "1"),
        ("reconciler pl\u00e4", "1"),
        ("reconciler\x0bplan --re", "2"),
        ("reconciler plan\n--re", "2"),
        ("reconciler nosuch -", "2"),
        ("reconciler engine nosuch -", "3"),
        ("reconciler plan", "one"),
        ("reconciler plan", "-1"),
        ("", "1"),
        ("reconciler plan", ""),
    ],
)
def test_any_other_line_is_left_to_click(asked: Asked, line: str, at: str) -> None:
    for shell in ("bash", "zsh"):
        assert asked(shell, line, at)[0] is None
    if not at.isdigit():
        return
    begun = (line.split() or [""])[-1]
    ours, clicks = asked("fish", line, begun)
    assert ours in {None, clicks}


@pytest.mark.parametrize("at", ["0", "1", "2", "3", "7"])
def test_a_word_in_the_middle_of_a_line_is_completed(asked: Asked, at: str) -> None:
    for shell in ("bash", "zsh"):
        ours, clicks = asked(shell, "reconciler engine st --re", at)
        assert ours in {None, clicks}
        assert (ours is None) == (at in {"3", "7"})


@pytest.mark.parametrize("instruction", ["bash_source", "tcsh_complete", "nonsense", "_complete", "complete"])
def test_what_no_script_asks_is_left_to_click(asked: Asked, monkeypatch: pytest.MonkeyPatch, instruction: str) -> None:
    monkeypatch.setenv("COMP_WORDS", "reconciler pl")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert print_words(instruction) is None


def test_what_it_imports_beside_what_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(program: str) -> set[str]:
        told = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, timeout=60
        ).stderr
        return {row.rpartition("|")[2].strip() for row in told.splitlines() if row.startswith("import time:")}

    before = imported("pass")
    monkeypatch.setenv("COMP_WORDS", "reconciler plan --re")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    assert imported(STARTED) - before == OURS


def test_a_pipe_that_nobody_reads_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    line = {VARIABLE: "bash_complete", "COMP_WORDS": "reconciler pl", "COMP_CWORD": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", STARTED], env=os.environ | line, stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_all_shells_are_tried() -> None:
    assert {shell for shell, _, _ in lines_of((), "")} == {*SHELLS}
