"""What a verb imports decides how fast it starts: the heavy libraries stand where they are needed."""

import os
import subprocess
import sys

import pytest

HEAVY = ("deepdiff", "jsonschema", "rich", "starlette", "uvicorn", "httpx._main")
TASK = "version: 1\nname: s\napps: {a: {image: i, tasks: {t: {command: [x]}}}}\n"
PROGRAM = """
import sys
from reconciler.cli.main import run
code = run(sys.argv[1:])
print("imported:", " ".join(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "not_imported"),
    [
        (["--help"], (*HEAVY, "httpx", "yaml")),
        (["invoke", "--help"], HEAVY),
        (["validate", "-f", "-"], (*HEAVY, "httpx")),
        (["invoke", "t", "-f", "-", "--target", "http://127.0.0.1:1"], HEAVY),
        (["plan", "-f", "-", "--target", "http://127.0.0.1:1"], HEAVY),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_heavy_libraries_are_not_imported(arguments: list[str], not_imported: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        input=TASK,
        env=os.environ | {"RECONCILER_RESOLVE": "never"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    imported = set(ended.stderr.rpartition("imported:")[2].split())
    assert "click" in imported, ended.stderr
    assert not imported & set(not_imported)
