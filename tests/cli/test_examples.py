"""PHP over plain HTTP, used as its readers would; and a web app as a service beside its task.

Those of web frameworks are tested by `make examples`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SPEC = """
version: 1
name: stack
apps:
  on-demand:
    image: i
    tasks:
      count:
        command: [sh, -c, 'echo x >> "$DIARY"; sleep 0.1; exit 6']
        env: {DIARY: '%(diary)s'}
        count: 2
      say:
        command: [sh, -c, 'echo "$@" >> "$DIARY"; if test "$1" = held; then read _ < "$DIARY.pipe"; fi; exit 6', say]
        args: [its own]
        overrides: {args: true}
        env: {DIARY: '%(diary)s of say'}
        count: 2
"""
PHP = ROOT / "examples" / "over-http" / "invoke.php"
needs_php = pytest.mark.skipif(not shutil.which("php"), reason="there is no php here")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("examples")
    (directory / "machines.yaml").write_text(SPEC % {"diary": directory / "diary"})
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        patch.setenv("RECONCILER_HOME", str(directory / "home"))
        patch.setenv("RECONCILER_TARGET", "local")
        assert run(["apply", "--yes", "-C", str(directory)]) == 0
        yield directory
        stop_engine(directory / "home")


WEB = """
version: 1
name: together
apps:
  shop:
    image: i
    services:
      web:
        command: [sh, -c, 'exec "$PYTHON" -m uvicorn --app-dir "$CHECKOUT" tests.support.web_app:app --port "$PORT"']
        env: {APP: shop, PYTHON: '%(python)s', CHECKOUT: '%(checkout)s', RECONCILER_TARGET: '${ENGINE}'}
        ports: [{internal_port: 8080, port: %(port)s, autostop: stop}]
        checks: {alive: {interval: 1s}}
        rollout: {min_healthy: 1s}
    tasks:
      get-release:
        command: [sh, -c, 'echo "looking for $0"; test "$0" = owner/repo || exit 4']
        args: [nothing]
        overrides: {args: true}
"""


def test_a_web_page_wakes_on_a_connection_invokes_a_run_and_shows_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    (tmp_path / "adversity.yaml").write_text("latency: {like: small, idle_s: 1}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spec = WEB % {"python": sys.executable, "checkout": ROOT, "port": port}
    (tmp_path / "machines.yaml").write_text(spec)
    status = start_engine(tmp_path / "home", extra=("--adversity", str(tmp_path / "adversity.yaml")))
    monkeypatch.setenv("ENGINE", str(status.url))
    token = read_token(tmp_path / "home")
    api = httpx.Client(
        base_url=f"{status.url}/v1", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    )
    try:
        with api:
            api.post("/apps", json={"app_name": "shop", "org_slug": "personal"})
            api.post("/apps/shop/secrets/FLY_API_TOKEN", json={"value": token})
            assert run(["apply", "--yes", "-C", str(tmp_path)]) == 0
            [web] = [one for one in api.get("/apps/shop/machines").json() if one["name"].startswith("web-")]
            assert api.get(f"/apps/shop/machines/{web['id']}/wait?state=stopped").status_code == 200, "idle, it rests"
            assert run(["engine", "status"]) == 0
            assert f"port {port} of shop at 127.0.0.1:{port}" in capsys.readouterr().out
            address = f"http://127.0.0.1:{port}"
            started = httpx.post(f"{address}/releases", json={"repository": "owner/repo"}, timeout=60, trust_env=False)
            assert started.status_code == 202, started.text
            place = f"{address}{started.headers['location']}"
            assert httpx.get(f"{place}/log", timeout=60, trust_env=False).text == "looking for owner/repo\n"
            assert httpx.get(place, trust_env=False).json()["outcome"] == "succeeded"
            assert api.get(f"/apps/shop/machines/{web['id']}/wait?state=stopped").status_code == 200, "and again"
            assert run(["plan", "--detailed-exitcode", "-C", str(tmp_path)]) == 0, "what rests by itself is no change"
    finally:
        stop_engine(tmp_path / "home")


@pytest.fixture
def environment(directory: Path) -> dict[str, str]:
    """What the example finds the engine by."""
    status = start_engine(directory / "home")
    return os.environ | {"MACHINES_API": str(status.url), "FLY_API_TOKEN": read_token(directory / "home")}


def codes_of(lines: list[list[str]], environment: dict[str, str]) -> Counter[int]:
    """With what they end, all run at once."""

    def one(line: list[str]) -> int:
        return subprocess.run(line, env=environment, timeout=120, capture_output=True).returncode

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(one, lines))


@needs_php
def test_php_runs_a_task_beside_other_invokes_and_none_is_lost(directory: Path, environment: dict[str, str]) -> None:
    php = ["php", str(PHP), "on-demand", "count"]
    ours = [sys.executable, "-m", "reconciler.cli", "invoke", "count", "--no-logs", "-C", str(directory)]
    assert codes_of([php, ours] * 4, environment) == {6: 8}
    assert len((directory / "diary").read_text().splitlines()) == 8


@needs_php
def test_php_gives_runs_args_of_their_own_and_leaves_the_machines_as_they_were(
    directory: Path, environment: dict[str, str]
) -> None:
    before = configs(environment)
    php = [["php", str(PHP), "on-demand", "say", "--", f"php {number}", "$HOME"] for number in range(4)]
    without = ["php", str(PHP), "on-demand", "say"]
    ours = [sys.executable, "-m", "reconciler.cli", "invoke", "say", "--no-logs", "-C", str(directory)]
    assert codes_of([*php, without, [*ours, "--", "ours"], ours], environment) == {6: 7}
    said = Counter((directory / "diary of say").read_text().splitlines())
    assert said == Counter([*(f"php {number} $HOME" for number in range(4)), "ours", "its own", "its own"])
    assert configs(environment) == before
    assert run(["plan", "--detailed-exitcode", "-C", str(directory)]) == 0


@needs_php
def test_what_a_killed_php_leaves_on_a_machine_goes_with_the_next_run_there(
    directory: Path, environment: dict[str, str]
) -> None:
    before, diary, pipe = configs(environment), directory / "diary of say", directory / "diary of say.pipe"
    os.mkfifo(pipe)
    php = ["php", str(PHP), "on-demand", "say", "held"]
    with opened(environment) as api, subprocess.Popen(php, env=environment) as killed:
        with pipe.open("w"):  # opens once the run reads it
            [left] = [name for name, config in configs(environment).items() if config != before[name]]
            [place] = [f"machines/{one['id']}" for one in machines(environment) if one["name"] == left]
            while api.get(f"{place}/lease").status_code == 200:
                pass  # it is released once the run was seen to start
            killed.kill()
        assert killed.wait() != 6
        assert api.get(f"{place}/wait?state=stopped").status_code == 200
    diary.unlink()
    while configs(environment) != before:  # the machine of a run is chosen at random
        assert run(["invoke", "say", "--no-logs", "-C", str(directory)]) == 6
    assert {*diary.read_text().splitlines()} == {"its own"}


@needs_php
def test_php_refuses_args_that_the_task_does_not_allow(environment: dict[str, str]) -> None:
    php = ["php", str(PHP), "on-demand", "count", "--", "x"]
    ended = subprocess.run(php, env=environment, timeout=60, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (125, "the runs of count may have no args of their own\n")


def opened(environment: dict[str, str]) -> httpx.Client:
    """A client of the app at the engine."""
    headers = {"Authorization": f"Bearer {environment['FLY_API_TOKEN']}"}
    url = f"{environment['MACHINES_API']}/v1/apps/on-demand"
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)


def machines(environment: dict[str, str]) -> list[dict[str, Any]]:
    """Those of the app, as the API spells them."""
    with opened(environment) as api:
        listed: list[dict[str, Any]] = api.get("machines").json()
    return listed


def configs(environment: dict[str, str]) -> dict[str, Any]:
    """The config of each machine of the task, without the marks that its runs write."""
    found = {one["name"]: one["config"] for one in machines(environment) if one["name"].startswith("say-")}
    for config in found.values():
        marks = config["metadata"].items()
        config["metadata"] = {key: value for key, value in marks if not re.match(r"reconciler_(r\d|k_|f_)", key)}
    return found


def test_every_step_of_the_documented_claim_is_in_the_example() -> None:
    document = (ROOT / "docs" / "how-to" / "claim-over-http.md").read_text()
    example = (ROOT / "examples" / "over-http" / "invoke.php").read_text()
    for word in (
        "reconciler_pool",
        "reconciler_slot",
        "reconciler_override",
        "reconciler_terms",
        "current_version",
        "skip_launch",
        "previous_state",
        "exit_event",
        "restarting",
    ):
        assert word in document
        assert word in example


def test_a_demo_whose_reader_goes_leaves_no_engine_and_no_file(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as demo:
        assert demo.stdout is not None
        assert any(line.startswith("Plan hash: ") for line in demo.stdout), "so an engine runs"
        demo.stdout.close()
        assert demo.wait(timeout=60) != 0
    assert list(tmp_path.iterdir()) == []
    assert not any(str(tmp_path).encode() in words for words in command_lines())


def command_lines() -> Iterator[bytes]:
    """Those of the processes that run now, where /proc tells them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield path.read_bytes()
