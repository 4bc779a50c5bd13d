"""The README is short, and shows what the commands show today."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.main import VERBS
from reconciler.spec import load_spec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PICTURE = ROOT / "docs" / "assets" / "terminal.svg"
MOST_WORDS = 900
MOST_BYTES = 60_000


def test_it_has_few_words_and_one_picture() -> None:
    assert len(README.split()) <= MOST_WORDS
    assert re.findall(r"!\[[^\]]+\]\((.*?)\)", README) == [str(PICTURE.relative_to(ROOT))]


def test_the_picture_is_small_and_fetches_nothing() -> None:
    text = PICTURE.read_text()
    assert len(text) <= MOST_BYTES
    assert set(re.findall(r"\w+://[^\"'\s)]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|<script|<image|xlink:href", text)


def test_the_first_spec_is_valid_and_short() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert len(shown.splitlines()) <= 12
    assert [pool.name for pool in load_spec(shown, file="machines.yaml", environment={}).pools] == ["import-orders"]


def test_it_names_the_two_commands_for_a_clean_clone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"\nmake {command} " in README
        assert re.search(rf"^{command}:.*  ## ", makefile, re.MULTILINE)


def test_each_command_of_it_is_there() -> None:
    named = re.findall(r"(?:[`$(\n] ?reconciler|docker run .* reconciler) ([a-z]+)", README)
    assert {"apply", "doctor", "invoke", "plan"} <= {*named} <= {*VERBS}


@pytest.mark.slow
def test_its_commands_show_what_it_says_and_what_the_picture_shows() -> None:
    command = [sys.executable, "tools/record.py", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, f"`make picture` writes both anew:\n{ended.stdout}{ended.stderr}"
