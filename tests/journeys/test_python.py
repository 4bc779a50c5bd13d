"""Journey 5: a user of the Python library tests a task with the pytest plugin, as docs/how-to/testing.md shows."""

import pytest

from tests.support.journey import README
from tests.support.pages import DOCS, blocks_of
from tests.support.plugin import WITHOUT_OURS

pytestmark = pytest.mark.slow
pytest_plugins = ["pytester"]

FILES = {block.file: block.text for block in blocks_of(DOCS / "how-to" / "testing.md") if block.file}
TOO_EARLY = """

def test_before_the_first_apply(tasks):
    tasks.invoke("import-orders")
"""


def test_a_python_user(pytester: pytest.Pytester) -> None:
    for page in ("tasks-from-python", "library", "testing"):
        assert f"(docs/how-to/{page}.md)" in README
    (pytester.path / "machines.yaml").write_text(FILES["machines.yaml"])
    (pytester.path / "test_import.py").write_text(FILES["test_import.py"] + TOO_EARLY)
    ended = pytester.runpytest_subprocess(*WITHOUT_OURS, timeout=60)
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["E*app shop-tasks has no task 'import-orders'", "E*its tasks: none; *"])
