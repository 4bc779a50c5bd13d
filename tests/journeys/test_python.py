"""Journey 5: a user of the Python library tests a task with the pytest plugin."""

import pytest

from tests.support.journey import README
from tests.support.plugin import WITHOUT_OURS

pytestmark = pytest.mark.slow
pytest_plugins = ["pytester"]

SPEC = """\
version: 1
name: shop
apps:
  shop-tasks:
    image: registry.fly.io/shop-tasks:latest
    tasks:
      import-orders:
        command: [sh, -c, 'echo "$0: 40 orders, 3 refused"; exit 3']
        args: [today]
        overrides: {args: true}
"""
TESTS = """\
import pytest
from reconciler import RunFailedError, Stack, Tasks, UsageError


@pytest.fixture
def tasks(live_engine):
    with Tasks("shop-tasks", target=live_engine.url, token=live_engine.token) as tasks:
        yield tasks


@pytest.fixture
def stack(live_engine):
    with Stack.from_file("machines.yaml", target=live_engine.url, token=live_engine.token) as stack:
        yield stack


def test_the_import(stack, tasks):
    assert stack.apply(stack.plan()).is_success
    assert not stack.plan().effective
    run = tasks.invoke("import-orders", args=["yesterday"], timeout="10m")
    assert [line.message for line in run.logs()] == ["yesterday: 40 orders, 3 refused"]
    outcome = run.wait()
    assert (outcome.ok, outcome.name, outcome.exit_code) == (False, "failed", 3)
    with pytest.raises(RunFailedError, match="exited 3; its output says why"):
        run.check()


def test_before_the_first_apply(tasks):
    tasks.invoke("import-orders")
"""


def test_a_python_user(pytester: pytest.Pytester) -> None:
    for page in ("tasks-from-python", "library", "testing"):
        assert f"(docs/how-to/{page}.md)" in README
    (pytester.path / "machines.yaml").write_text(SPEC)
    pytester.makepyfile(test_mine=TESTS)
    ended = pytester.runpytest_subprocess(*WITHOUT_OURS, timeout=60)
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["E*app shop-tasks has no task 'import-orders'", "E*its tasks: none; *"])
