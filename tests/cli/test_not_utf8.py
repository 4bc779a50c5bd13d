"""Words that are not UTF-8: one message that names the word, before any call; a file may have such a name."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reconciler.cli.main import cli, run
from reconciler.targets import who_asks
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: s
apps:
  app:
    image: i
    env: {A: "${X:-x}"}
    tasks:
      work: {command: [run], overrides: {args: true, env: [K]}}
"""
BAD = os.fsdecode(b"a\xffb")  # as Python gives what is not UTF-8 in a command line or the environment
# The text options that are no Text: what they name is looked for among files, or they check it by themselves.
FILES = {"file", "files", "directory", "old", "new", "source"}
CHECKED_APART = {("invoke", "env")}


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a spec, and an environment whose target would refuse every call."""
    (tmp_path / "machines.yaml").write_text(SPEC)
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_TARGET", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["invoke", "work", "--", BAD], r"'a\xffb' is not UTF-8 text"),
        (["invoke", "work", "--", "fine", f"--of={BAD}"], r"'--of=a\xffb' is not UTF-8 text"),
        (["invoke", BAD], r"'a\xffb' is not UTF-8 text"),
        (["invoke", "work", "-e", f"K={BAD}"], "the value of K is not UTF-8 text"),
        (["invoke", "work", "-e", f"{BAD}=1"], r"'a\xffb' is not UTF-8 text"),
        (["invoke", "work", "-e", "FROM_HERE"], "the value of FROM_HERE is not UTF-8 text"),
        (["invoke", "work", "--idempotency-key", BAD], r"'--idempotency-key': 'a\xffb'"),
        (["runs", BAD], r"'a\xffb'"),
        (["wait", f"work-iad-0/{BAD}"], r"'work-iad-0/a\xffb'"),
        (["logs", BAD], r"'a\xffb'"),
        (["cancel", BAD], r"'a\xffb'"),
        (["plan", "-a", BAD], r"'-a' / '--app': 'a\xffb'"),
        (["-a", BAD, "plan"], r"'-a' / '--app': 'a\xffb'"),
        (["apply", "--yes", "--only", BAD], r"'--only': 'a\xffb'"),
        (["status", "--target", f"http://{BAD}"], r"'--target': 'http://a\xffb'"),
        (["apply", "--expect-plan", BAD], r"'--expect-plan': 'a\xffb'"),
        (["build", "--push-to", BAD], r"'--push-to': 'a\xffb'"),
        ([BAD], "No such command"),
        (["plan", f"--{BAD}"], "No such option"),
        (["invoke", "work", "--timeout", BAD], "is not a duration"),
    ],
    ids=lambda value: " ".join(value).replace(BAD, "BAD") if isinstance(value, list) else "",
)
def test_a_word_is_one_usage_error_that_names_it(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("FROM_HERE", BAD)
    assert run(arguments) == 64
    shown = capfd.readouterr()
    assert words in shown.err
    assert shown.err.count("Error:") == 1
    assert shown.out == ""


def test_each_text_of_each_verb_is_checked() -> None:
    unchecked = {(verb, name) for verb, name in _texts(cli, "") if name not in FILES}
    assert unchecked == CHECKED_APART


def _texts(command: click.Command, verb: str) -> Iterator[tuple[str, str]]:
    """The options and arguments that take any text: of the command, and of those below it."""
    yield from ((verb, str(one.name)) for one in command.params if one.type is click.STRING)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from _texts(below, f"{verb} {name}".strip())


@pytest.mark.parametrize(
    ("verb", "code"), [("validate", 1), ("plan", 1), ("apply", 1), ("status", 1), ("invoke", 125), ("wait", 125)]
)
def test_a_variable_in_the_spec_is_an_error_at_its_place(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: str, code: int
) -> None:
    monkeypatch.setenv("X", BAD)
    arguments = {"apply": ["apply", "--yes"], "invoke": ["invoke", "work"], "wait": ["wait", "a/b"]}.get(verb, [verb])
    assert run(arguments) == code
    shown = capfd.readouterr().err
    assert "machines.yaml:7:14: error: the value of ${X} is not UTF-8 text" in shown
    assert "1 error" in shown


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RECONCILER_TARGET", BAD, "unknown target"),
        ("RECONCILER_TARGET", f"http://{BAD}", "is not a URL"),
        ("RECONCILER_TARGET", "http://xn--0", "is not a URL"),
        ("RECONCILER_RATE", BAD, "use off or fly"),
        ("FLY_API_TOKEN", BAD, "holds characters that no token has"),
        ("FLY_API_BASE_URL", f"http://{BAD}", "is not a URL"),
        ("RECONCILER_FILE", BAD, r"there is no file a\xffb"),
    ],
)
@pytest.mark.parametrize(("verb", "code"), [("plan", 1), ("invoke", 125)])
def test_a_variable_of_the_environment_is_one_error(
    spec: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    verb: str,
    code: int,
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert run([verb, "work"] if verb == "invoke" else [verb]) == code
    shown = capfd.readouterr().err
    assert words in shown
    assert shown.count("error:") == 1
    assert "unexpected" not in shown


@pytest.mark.parametrize("names", [("LOGNAME", "USER"), ("GITHUB_RUN_ID",), ("CI_JOB_URL",)])
def test_who_asks_was_typed_by_nobody_and_is_replaced(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    clear_environment(monkeypatch)
    for name in names:
        monkeypatch.setenv(name, BAD)
    assert "a?b" in who_asks(os.environ)
    assert who_asks(os.environ).encode()


def test_files_and_directories_may_have_such_names(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (spec / BAD).mkdir()
    (spec / "machines.yaml").rename(spec / BAD / BAD)
    assert run(["-C", BAD, "-f", BAD, "validate"]) == 0
    assert run(["diff", f"{BAD}/{BAD}", f"{BAD}/{BAD}"]) == 0
    assert run(["validate", "-f", f"{BAD}/none"]) == 1
    shown = capfd.readouterr()
    assert r"a\xffb/a\xffb is valid" in shown.out
    assert r"there is no file a\xffb/none" in shown.err


def test_the_local_engine_cannot_be_given_such_a_directory(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (spec / BAD).mkdir()
    (spec / BAD / "machines.yaml").write_text(SPEC.replace("image: i", "build: {context: .}"))
    assert run(["-C", BAD, "--target", "local", "validate"]) == 1
    assert r"a\xffb: its name is not UTF-8" in capfd.readouterr().err


def test_what_the_outputs_encoding_has_not_is_escaped() -> None:
    ended = _ended("apply", "--help", PYTHONIOENCODING="ascii:strict")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"sha256:\\u2026" in ended.stdout


def test_the_bytes_of_a_command_line(spec: Path) -> None:
    ended = _ended("invoke", "work", "--", BAD)
    assert ended.returncode == 64
    assert b"'a\\xffb' is not UTF-8 text" in ended.stderr


def _ended(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "reconciler.cli", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=60)
