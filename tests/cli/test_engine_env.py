"""`engine env`: statements for a shell that lead other clients to the engine, and nothing else on stdout."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import EngineStatus, ensure_token, lock_home, write_status
from reconciler.engine.server.shell import client_variables, exports, removals
from reconciler.machines_api.access import parse_target_url
from reconciler.targets import resolve_target

URL = "http://127.0.0.1:4567"
TOKEN = "a token's \\ text"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in client_variables("", "", tmp_path):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def running(home: Path) -> Iterator[Path]:
    """The home of an engine that runs, as far as its files say."""
    with lock_home(home):
        ensure_token(home)
        status = EngineStatus(running=True, url=URL, pid=os.getpid(), runtime="process", started_at="", version="")
        write_status(home, status)
        yield home


def test_a_shell_that_evaluates_it_has_the_urls_and_the_token(running: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["engine", "env"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    shown = subprocess.run(
        ["sh", "-c", 'eval "$1"; env', "sh", said.out], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    found = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
    token = (running / "token").read_text().strip()
    for name in ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME", "FLY_API_BASE_URL", "FLY_UIEX_BASE_URL"):
        assert parse_target_url(found[name]) == URL
    assert found["FLY_API_TOKEN"] == found["FLY_ACCESS_TOKEN"] == token
    assert found["RECONCILER_TARGET"] == "local"
    assert found["FLY_CONFIG_DIR"] == str(running / "flyctl")


def test_it_prints_the_token_again_in_a_shell_that_has_it(
    running: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (running / "token").read_text().strip()
    monkeypatch.setenv("FLY_API_TOKEN", token)
    assert run(["engine", "env"]) == 0
    assert f"export FLY_ACCESS_TOKEN={token}" in capfd.readouterr().out


def test_without_an_engine_there_is_nothing_to_evaluate(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["engine", "env"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert "`reconciler engine start`" in said.err
    assert run(["engine", "env", "--unset"]) == 0
    assert "unset FLY_API_TOKEN\n" in capfd.readouterr().out
    assert run(["engine", "env", "-o", "json"]) == 64


def test_values_are_quoted_for_their_shell(tmp_path: Path) -> None:
    variables = client_variables(URL, TOKEN, tmp_path)
    shown = subprocess.run(
        ["sh", "-c", 'eval "$1"; printf %s "$FLY_API_TOKEN"', "sh", exports(variables, "sh")],
        capture_output=True,
        text=True,
    )
    assert shown.stdout == TOKEN
    assert r"set -gx FLY_API_TOKEN 'a token\'s \\ text';" in exports(variables, "fish").splitlines()
    assert "set -e RECONCILER_TARGET;" in removals("fish").splitlines()
    assert len(removals("sh").splitlines()) == len(variables)


def test_our_own_target_is_the_local_engine_whatever_the_urls_say(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.engine.server.daemon._answers", lambda _: True)
    variables = client_variables("http://127.0.0.1:1", "other", running) | {"RECONCILER_HOME": str(running)}
    target = resolve_target(variables)
    assert (target.name, target.base_url, target.logs_url) == ("local", URL, URL)
    assert target.token is not None
    assert target.token.reveal() != "other"
