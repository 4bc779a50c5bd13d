"""`reconciler init`: what it writes from what, that it overwrites nothing, and what it says of odd input."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.cli.main import run
from tests.support.environment import clear_environment
from tests.support.terminal import Terminal

SCHEMA_LINE = "# yaml-language-server: $schema=./machines.schema.json\n"
FLY = 'app = "shop"\nprimary_region = "ams"\n[env]\nSHOP_TOKEN = "abcdef"\n[http_service]\ninternal_port = 8080\n'


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is called shop, as the working directory."""
    made = tmp_path / "shop"
    made.mkdir()
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def command(directory: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def call(*words: str) -> Ended:
        code = run([*words])
        return Ended(code, *capfd.readouterr())

    return call


@pytest.mark.parametrize(
    ("files", "task", "lines"),
    [
        ({}, "hello", ["image: docker.io/library/alpine:3 #", "command: [sh, -c, 'echo"]),
        ({"artisan": ""}, "artisan", ["build: . # a directory; on Fly it needs", "command: [php, artisan]"]),
        ({"manage.py": "", "Dockerfile": "FROM a"}, "manage", ["command: [python3, manage.py]", "build: . # a dir"]),
        ({"bin/rails": ""}, "rails", ["command: [bin/rails]"]),
        ({"Dockerfile": 'FROM a\nCMD ["run", "it"]'}, "job", ["build: . #", "command: [run, it]"]),
        ({"Dockerfile": 'FROM a\nENTRYPOINT ["tini"]'}, "job", ["entrypoint: [tini]"]),
        ({"Dockerfile": 'FROM a\nCMD ["serve"]\nEXPOSE 80'}, "run", ["ports: [80]", "command: [serve]", "args: [ls,"]),
        ({"Dockerfile": "FROM a"}, "run", ["args: [ls, -l]"]),
        ({"Dockerfile": "FROM a\nCMD echo ${HOME:-x}"}, "job", ['command: [/bin/sh, -c, "echo $${HOME:-x}"]']),
    ],
)
def test_without_a_fly_toml_a_short_spec_has_a_task_to_try(
    command: Command, directory: Path, files: dict[str, str], task: str, lines: list[str]
) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    ended = command("init", "--no-input")
    assert ended.code == 0, ended.err
    assert f"reconciler invoke {task} --target local" in ended.out
    spec = (directory / "machines.yaml").read_text()
    assert spec.startswith(SCHEMA_LINE)
    assert "reconciler schema > machines.schema.json" in spec
    assert len(spec.splitlines()) <= 25
    assert "name: shop # " in spec
    for line in lines:
        assert line in spec
    assert command("validate").code == 0


def test_a_fly_toml_is_reported_on_and_its_secrets_are_variables(command: Command, directory: Path) -> None:
    (directory / "fly.toml").write_text(FLY + "[deploy]\nstrategy = 'canary'\nrelease_command = 'migrate'\n")
    ended = command("init")
    assert ended == (0, ended.out, "")
    assert ended.out.startswith("machines.yaml is written, from fly.toml: app shop, 1 service, 1 task.\n")
    assert "  - deploy.strategy = canary: " in ended.out
    assert "  export SHOP_TOKEN=…\n" in ended.out
    assert "reconciler import shop" in ended.out
    assert "below `tasks:`: report: {command: [./report]}, and apply" in ended.out
    assert "abcdef" not in ended.out + (directory / "machines.yaml").read_text()
    assert "${SHOP_TOKEN} is not set" in command("validate").err
    os.environ["SHOP_TOKEN"] = "x"
    try:
        assert command("validate").code == 0
    finally:
        del os.environ["SHOP_TOKEN"]


@pytest.mark.parametrize(("target", "flag"), [("", ""), ("fly", ""), ("local", " --target fly")])
def test_the_plan_on_fly_is_on_fly(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch, target: str, flag: str
) -> None:
    monkeypatch.setenv("RECONCILER_TARGET", target)
    plan = f"  reconciler plan{flag}    (on Fly)\n"
    assert plan in command("init").out
    (directory / "machines.yaml").unlink()
    (directory / "fly.toml").write_text(FLY)
    assert f"{plan}  reconciler apply{flag}    (on Fly; asks first)\n" in command("init").out


@pytest.mark.parametrize("there", ["machines.yaml", "machines.yml"])
def test_nothing_is_overwritten(command: Command, directory: Path, there: str) -> None:
    (directory / there).write_text("mine")
    ended = command("init")
    assert (ended.code, ended.out) == (1, "")
    assert f"error: {there} is there already, and is not overwritten" in ended.err
    assert "reconciler init -f FILE" in ended.err
    assert {one.name: one.read_text() for one in directory.iterdir()} == {there: "mine"}
    assert command("init", "-f", "other.yaml").code == 0


def test_a_spec_that_comes_in_between_is_not_overwritten(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.operations.init.check_free", lambda _options: None)
    (directory / "machines.yaml").symlink_to(directory / "nowhere")
    assert "is there already" in command("init").err
    assert [one.name for one in directory.iterdir()] == ["machines.yaml"]


def test_a_full_disk_leaves_no_file(command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_anything: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("reconciler.operations.init._write_all", refuse)
    ended = command("init")
    assert (ended.code, ended.out) == (1, "")
    assert "cannot write machines.yaml: No space left on device" in ended.err
    assert not any(directory.iterdir())


def test_a_spec_in_another_directory_builds_from_this_one(command: Command, directory: Path) -> None:
    (directory / "fly.toml").write_text('app = "shop"\n')
    (directory / "deploy").mkdir()
    assert command("init", "-f", "deploy/shop.yaml").code == 0
    assert "build: ..\n" in (directory / "deploy" / "shop.yaml").read_text()
    assert (directory / "deploy" / "shop.yaml").stat().st_mode & 0o777 == 0o600
    ended = command("init", "-C", "..", "--from", "shop/fly.toml", "-f", "-")
    assert "reconciler validate -C ..\n" in ended.err
    assert ended.out.startswith(SCHEMA_LINE)
    assert "Next:" in ended.err
    (directory / "fly.toml").write_text('app = "shop"\n[build]\ndockerfile = "docker/Dockerfile"\n')
    said = command("init", "-C", "..", "--from", "shop/fly.toml", "-f", "-").out
    assert "build: {context: ., dockerfile: shop/docker/Dockerfile}" in said
    (directory / "prod.Dockerfile").write_text('FROM a\nCMD ["run"]\n')
    said = command("init", "--from", "prod.Dockerfile", "-f", "-").out
    assert "build: {context: ., dockerfile: prod.Dockerfile} #" in said


def test_the_name_is_the_flags_else_the_environments_else_the_files(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "fly.toml").write_text('app = "from-file"\n')
    assert "name: from-file\n" in command("init", "-f", "-").out
    monkeypatch.setenv("FLY_APP", "from-env")
    assert "name: from-env\n" in command("init", "-f", "-").out
    assert "name: from-flag\n" in command("init", "-f", "-", "--name", "from-flag").out
    monkeypatch.setenv("FLY_ORG", "acme")
    monkeypatch.setenv("FLY_REGION", "nrt")
    said = command("init", "-f", "-").out
    assert "org: acme\n" in said
    assert "regions: [nrt]\n" in said
    assert "org: other\n" in command("init", "-f", "-", "--org", "other").out
    (directory / "fly.toml").unlink()
    assert "regions: [nrt] #" in command("init", "-f", "-").out


@pytest.mark.parametrize("app", ["", "{APP_NAME}", "My App"])
def test_a_name_that_is_none_is_refused_and_names_the_flag(command: Command, directory: Path, app: str) -> None:
    (directory / "fly.toml").write_text(f'app = "{app}"\n')
    ended = command("init")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: fly.toml: ")
    assert "--name" in ended.err
    assert command("init", "--name", "mine", "--no-input").code == 0


@pytest.mark.parametrize(
    ("toml", "place"),
    [
        ("app = 'a'\n[env\nA = 1", "fly.toml:2:5: error: not TOML: "),
        ("app = 'a'\nB = ", "fly.toml:2:5: error: not TOML: "),
        ("app = 'a'\napp = 'b'\n", "fly.toml:2:10: error: not TOML: "),
        ("app = [", "fly.toml:1:8: error: not TOML: "),
    ],
)
def test_toml_that_is_broken_has_a_place_and_a_caret(command: Command, directory: Path, toml: str, place: str) -> None:
    (directory / "fly.toml").write_text(toml)
    ended = command("init")
    assert ended.code == 1
    assert ended.err.startswith(place)
    assert "^\n" in ended.err
    assert [one.name for one in directory.iterdir()] == ["fly.toml"]


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("fly.toml", 'API_TOKEN = "hunter22\n', "API_TOKEN = …"),
        ("fly.toml", 'env = {DB_PASS = "hunter22" x}\n', "env = …"),
        ("fly.toml", 'a = """\npassword=\'hunter22\'\n', ""),
        ("fly.json", '{"DB_PASS": "hunter22" x}', '{"DB_PASS": …'),
        ("fly.json", '{"env": {"DB_PASS": "hunter22" x}}', '{"env": …'),
        ("fly.toml", 'app = "shown\n', 'app = "shown'),
        ("fly.json", '{"app": "shown" x}', '{"app": "shown" x}'),
    ],
)
def test_a_secret_in_a_broken_line_is_not_shown(
    command: Command, directory: Path, name: str, text: str, shown: str
) -> None:
    (directory / name).write_text(text)
    ended = command("init", "--name", "a")
    assert ended.code == 1
    assert "hunter22" not in ended.err
    assert shown in ended.err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("fly.json", "{", "fly.json:1:2: error: not JSON: "),
        ("fly.yaml", "a: [", "fly.yaml:1:1: error: a bracket is not closed"),
        ("fly.json", "[1]", "fly.json is no table of settings"),
        ("fly.toml", "a = " + "[" * 5000, "fly.toml is nested too deep"),
        ("fly.toml", "services = 1", "fly.toml: services is no table"),
        ("fly.toml", "a = " + "9" * 5000, "fly.toml has a number of too many digits"),
        ("fly.json", "9" * 5000, "fly.json has a number of too many digits"),
        ("fly.toml", "# " + "x" * 2**20, "fly.toml is larger than 1 MiB"),
    ],
)
def test_odd_files_are_one_error_and_nothing_is_written(
    command: Command, directory: Path, name: str, text: str, words: str
) -> None:
    (directory / name).write_text(text)
    ended = command("init", "--name", "a")
    assert ended.code == 1
    assert words in ended.err
    assert "unexpected" not in ended.err
    assert [one.name for one in directory.iterdir()] == [name]


def test_what_is_no_readable_file_is_told(command: Command, directory: Path) -> None:
    fly = directory / "fly.toml"
    fly.mkdir()
    assert "cannot read fly.toml: it is a directory" in command("init").err
    fly.rmdir()
    os.mkfifo(fly)
    assert "cannot read fly.toml: it is no regular file" in command("init").err
    fly.unlink()
    fly.symlink_to("nowhere")
    assert "cannot read fly.toml: No such file" in command("init").err
    fly.unlink()
    fly.write_bytes(b"app = '\xff'")
    assert "fly.toml:1: not UTF-8 text" in command("init").err
    assert "cannot read none.toml" in command("init", "--from", "none.toml").err
    assert "nowhere is not a directory" in command("init", "-C", "nowhere").err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "json"], 64, "init has no JSON document"),
        (["-a", "x"], 64, "--name"),
        (["-f", "a", "-f", "b"], 64, "one -f"),
        (["--from", ""], 64, "it is empty"),
        (["--name", "No_Name"], 1, "did you mean no-name?"),
        (["--org", "a b"], 1, "is not an organisation's slug"),
        (["-f", "no/such/dir.yaml"], 1, "cannot write no/such/dir.yaml: No such file"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    command: Command, directory: Path, words: list[str], code: int, said: str
) -> None:
    ended = command("init", *words)
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert not any(directory.iterdir())


@pytest.mark.slow
def test_on_a_terminal_the_name_is_asked_for_and_ctrl_c_writes_nothing(directory: Path) -> None:
    (directory / "fly.toml").write_text('app = "{APP_NAME}"\n')
    asking = Terminal(directory, "init")
    asking.read_until("What is the app called? ")
    asking.process.send_signal(signal.SIGINT)
    assert asking.end() == 130
    assert not (directory / "machines.yaml").exists()
    asking = Terminal(directory, "init")
    asking.read_until("What is the app called? ")
    asking.type("Not A Name\n")
    asking.read_until("an app cannot be called")
    asking.type("named\n")
    assert asking.end() == 0
    assert "name: named\n" in (directory / "machines.yaml").read_text()


def test_a_draft_that_is_not_what_fly_deploy_sends_is_not_written(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "fly.toml").write_text('app = "shop"\n[[vm]]\nmemory = "512mb"\n')
    monkeypatch.setattr("reconciler.drafts.pool_members._guest", lambda *_anything: {})
    ended = command("init")
    assert (ended.code, ended.out) == (1, "")
    assert "guest of app would not be what fly deploy sends" in ended.err
    assert [one.name for one in directory.iterdir()] == ["fly.toml"]
