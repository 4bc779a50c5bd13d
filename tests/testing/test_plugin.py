"""The pytest plugin as users have it: in its own process, by its entry point."""

import os
from pathlib import Path

import pytest

from tests.support.plugin import WITHOUT_OURS

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

HEAVY = ("httptools", "httpx", "yaml", "sqlite3")
IMPORTED = f"""
import sys

def imported():
    return {{name for name in sys.modules if name.split(".")[0] in {("reconciler", *HEAVY)!r}}}
"""

MACHINE = """
def start(engine, *words):
    engine.create_app("work")
    config = {"image": "i", "init": {"exec": list(words)}, "restart": {"policy": "no"}}
    return engine.client().post("/apps/work/machines", json={"config": config}).raise_for_status().json()
"""


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("--strict-markers", "-W", "error", *WITHOUT_OURS, *arguments, timeout=60)


def test_fixtures_that_nobody_uses_import_nothing(pytester: pytest.Pytester) -> None:
    source = f"""{IMPORTED}
def test_without():
    assert imported() == {{"reconciler", "reconciler.testing"}}

def test_with(live_engine):
    live_engine.client()
    assert imported() > {{"reconciler.engine", "httptools", "httpx", "sqlite3"}}
"""
    run(pytester, source).assert_outcomes(passed=2)


def test_the_package_itself_does_not_need_pytest(pytester: pytest.Pytester) -> None:
    modules = "reconciler.cli.main, reconciler.tasks, reconciler.engine.server.serve"
    program = f"import sys, {modules}; assert 'pytest' not in sys.modules"
    assert pytester.runpython_c(program).ret == 0


@pytest.mark.parametrize("end", ["assert False", "raise KeyboardInterrupt", "os.kill(os.getpid(), signal.SIGINT)", ""])
def test_a_test_that_ends_badly_leaves_no_process(pytester: pytest.Pytester, end: str) -> None:
    pids = pytester.path / "pids"
    source = f"""{MACHINE}
import os, signal

def test_it(live_engine):
    start(live_engine, "sh", "-c", "trap '' INT TERM; echo $$ >> {pids}; echo up; while :; do sleep 9; done")
    live_engine.wait_for_log("work", "up")
    {end}
"""
    run(pytester, source)
    (pid,) = map(int, pids.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_failed_test_shows_what_was_asked_and_printed(pytester: pytest.Pytester) -> None:
    source = f"""{MACHINE}
def test_live(live_engine):
    start(live_engine, "echo", "a real line")
    live_engine.wait_for_log("work", "real")
    assert False

def test_virtual(virtual_engine):
    machine = start(virtual_engine, "say", "a scripted line")
    virtual_engine.run(virtual_engine.wait_for_state("work", machine["id"], "stopped"))
    assert False
"""
    result = run(pytester, source)
    result.assert_outcomes(failed=2)
    shown = ["*Captured engine teardown*", "POST /apps/work/machines", "*| a %s line"]
    result.stdout.fnmatch_lines(
        [line.replace("%s", kind) for kind in ("real", "scripted") for line in shown], consecutive=False
    )


def test_each_test_has_an_engine_of_its_own_on_every_worker(pytester: pytest.Pytester) -> None:
    source = f"""{MACHINE}
import pathlib, pytest

@pytest.mark.parametrize("number", range(8))
def test_it(live_engine, virtual_engine, number, worker_id):
    start(live_engine, "echo", str(number))
    assert live_engine.wait_for_log("work", "") == str(number)
    assert len(live_engine.machines("work")) == len(live_engine.requests) == 1
    start(virtual_engine, "say", "x")
    assert len(virtual_engine.machines("work")) == len(virtual_engine.requests) == 1
    (pathlib.Path({str(pytester.path)!r}) / worker_id).touch()
"""
    run(pytester, source, "-n", "2").assert_outcomes(passed=8)
    assert {path.name for path in pytester.path.glob("gw*")} == {"gw0", "gw1"}


def test_async_tests_need_no_other_plugin(pytester: pytest.Pytester) -> None:
    source = """
import asyncio, pytest

@pytest.fixture
def app(virtual_engine):
    virtual_engine.create_app("work")
    return "work"

@pytest.mark.parametrize("hours", [1, 2])
async def test_good(virtual_engine, app, hours):
    async with virtual_engine.async_client() as api:
        assert (await api.get(f"/apps/{app}")).status_code == 200
    await asyncio.sleep(3600 * hours)
    assert virtual_engine.clock.monotonic() >= 3600 * hours

async def test_bad(virtual_engine):
    await asyncio.sleep(1)
    assert "it was run" == ""

def test_of_another_loop(virtual_engine):
    async def elsewhere():
        async with virtual_engine.async_client() as api:
            await api.get("/apps")
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(elsewhere())

async def test_of_a_loop_in_a_loop(virtual_engine):
    with pytest.raises(RuntimeError, match="a loop runs already"):
        virtual_engine.client().get("/apps")
"""
    result = run(pytester, source, "-p", "no:anyio")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: assert 'it was run' == ''"])


def test_marks_say_how_the_engine_behaves_and_the_closest_wins(pytester: pytest.Pytester) -> None:
    source = f"""{MACHINE}
import pytest

pytestmark = pytest.mark.engine_settings(latency="fly", behaviour={{"enforces_names": False}})

def seconds(engine):
    machine = start(engine, "exit", "0")
    engine.run(engine.wait_for_state("work", machine["id"], "stopped"))
    names = [engine.client().post("/apps/work/machines", json={{"name": "n", "config": machine["config"]}})] * 2
    assert [reply.status_code for reply in names] == [200, 200]
    return engine.clock.monotonic()

def test_module(virtual_engine):
    assert seconds(virtual_engine) > 3

@pytest.mark.engine_settings(latency={{"like": "none"}})
def test_closest(virtual_engine):
    assert seconds(virtual_engine) < 1

@pytest.mark.engine_settings(limits_rates=True)
def test_rates(live_engine):
    live_engine.create_app("work")
    api = live_engine.client()
    assert 429 in [api.get("/apps/work/machines").status_code for _ in range(200)]
"""
    run(pytester, source).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("latncy='fly'", "*unknown setting 'latncy'; known: latency, behaviour, limits_rates"),
        ("latency='slow'", "*latency: 'slow' is none of none, small, fly, and no map of times"),
        ("behaviour={'x': 1}", "*behaviour: unknown key 'x'; known: *takes_expired_nonce*"),
        ("'fly'", "*the mark engine_settings takes keywords only: latency, behaviour, limits_rates"),
    ],
)
@pytest.mark.parametrize("fixture", ["live_engine", "virtual_engine"])
def test_a_mistaken_mark_is_an_error_that_says_what_there_is(
    pytester: pytest.Pytester, fixture: str, mark: str, message: str
) -> None:
    source = f"import pytest\n@pytest.mark.engine_settings({mark})\ndef test_it({fixture}):\n    pass\n"
    result = run(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_it_can_be_named_as_well(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "def test_it(live_engine):\n    assert live_engine.client().get('/apps').status_code == 200\n"
    named = ("-p", "reconciler.testing")
    run(pytester, source, *named).assert_outcomes(passed=1)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run(pytester, source).assert_outcomes(errors=1)
    run(pytester, source, *named).assert_outcomes(passed=1)


def test_one_engine_for_a_whole_session(pytester: pytest.Pytester) -> None:
    document = (Path(__file__).parents[2] / "docs" / "how-to" / "testing.md").read_text()
    conftest = next(block for block in document.split("```python\n") if "scope=" in block).partition("```")[0]
    pytester.makeconftest(conftest)
    source = """
import pytest

@pytest.mark.parametrize("count", [1, 2])
def test_it(engine, count):
    engine.create_app(f"app-{count}")
    assert engine.client().get("/apps", params={"org_slug": "personal"}).json()["total_apps"] == count
"""
    run(pytester, source).assert_outcomes(passed=2)


def test_a_computer_without_a_place_for_its_files_is_told_in_words(pytester: pytest.Pytester) -> None:
    source = """
import tempfile
import pytest

@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

def test_it(nowhere, live_engine):
    pass
"""
    result = run(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the engine does not start: *No such file*set TMPDIR*"])
    assert "Traceback" not in result.stdout.str()
    assert "live.py" not in result.stdout.str()
