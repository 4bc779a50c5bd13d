"""The example of docs/how-to/testing.md runs as documented, and finds the fault."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.plugin import WITHOUT_OURS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "testing"
DOCUMENT = (ROOT / "docs" / "how-to" / "testing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
NAIVE, MENDED = (block for block in BLOCKS if block.startswith("def create("))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__")))


def run(example: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *WITHOUT_OURS, *arguments]
    return subprocess.run(command, cwd=example, capture_output=True, text=True, timeout=100)


def test_the_example_passes(example: Path) -> None:
    ended = run(example)
    assert (ended.returncode, re.findall(r"\d+ passed", ended.stdout)) == (0, ["10 passed"]), ended.stdout


def test_the_document_shows_the_example(example: Path) -> None:
    assert MENDED in (example / "client.py").read_text()
    test = next(block for block in BLOCKS if "def test_one_machine" in block)
    assert test in (example / "test_client.py").read_text()


def test_only_the_lost_reply_uncovers_the_naive_client_as_the_document_says(example: Path) -> None:
    client = example / "client.py"
    client.write_text(client.read_text().replace(MENDED, NAIVE))
    ended = run(example)
    assert (ended.returncode, re.findall(r"\d+ failed", ended.stdout)) == (1, ["1 failed"]), ended.stdout
    for line in re.search(r"```console\n\$ pytest\n(.*?)```", DOCUMENT, re.DOTALL)[1].splitlines():  # type: ignore[index]
        assert line in ended.stdout


def test_every_name_of_the_document_is_there() -> None:
    from reconciler.testing.controller import rule_of
    from reconciler.testing.live import LiveEngine
    from reconciler.testing.virtual import VirtualEngine

    section = DOCUMENT.partition("Of the network:")[2].partition("The whole list")[0]
    for fault in re.findall(r"`(\w+)`", section):
        assert rule_of(fault, {}).fault == fault
    for name in re.findall(r"`virtual_engine\.(\w+)", DOCUMENT):
        assert hasattr(VirtualEngine(), name), name
    for name in re.findall(r"`live_engine\.(\w+)", DOCUMENT):
        assert hasattr(LiveEngine(), name), name


def test_the_document_begins_with_a_test_that_passes(example: Path) -> None:
    shown = next(block for block in BLOCKS if "virtual_engine" in block)
    (example / "test_client.py").write_text(f"import client as my_client\n\n{shown}")
    ended = run(example)
    assert (ended.returncode, re.findall(r"\d+ passed", ended.stdout)) == (0, ["1 passed"]), ended.stdout
