"""`apply` and `destroy` with `-o markdown`: the report alone on stdout, what is said on the way on stderr."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended

SPEC = """
version: 1
name: stack
apps:
  app: {image: i, tasks: {work: {command: ['true'], count: COUNT}}}
"""
MARK = "<!-- reconciler apply of stack -->\n"


class Stack:
    def __init__(self, line: CommandLine, directory: Path) -> None:
        self._line, self._directory = line, directory

    def __call__(self, *words: str, count: int, verb: str = "apply", output: str = "markdown") -> Ended:
        (self._directory / "machines.yaml").write_text(SPEC.replace("COUNT", str(count)))
        return self._line.run(verb, "--yes", "-o", output, *words)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with VirtualEngine() as engine:
        yield Stack(CommandLine(engine, engine.transport, tmp_path), tmp_path)


def test_what_was_done_is_alone_on_stdout(stack: Stack) -> None:
    ended = stack(count=2)
    assert ended.code == 0
    assert ended.out.startswith(MARK)
    assert "| `work` | `app` | 2 |" in ended.out
    assert "Plan: 2 to create" not in ended.out
    assert "Plan: 2 to create" in ended.err
    ended = stack(count=2, verb="destroy")
    assert ended.code == 0
    assert ended.out.startswith("<!-- reconciler destroy of stack -->\n### `stack`: Destroyed: 2 done")


def test_a_refused_apply_says_why_and_what_is_next(stack: Stack) -> None:
    assert stack(count=8).code == 0
    ended = stack(count=1)
    assert ended.code == 1
    assert ended.out.startswith(MARK)
    assert "- refused: destroys 7 of 8: needs --allow-destroy 7\n" in ended.out
    assert "**Next:** if that is meant, plan or apply with `--allow-destroy 7`.\n" in ended.out
    ended = stack("--expect-plan", f"sha256:{'0' * 64}", "--allow-destroy", "7", "--revision", "1", count=1)
    assert ended.code == 1
    assert "- refused: " in ended.out
    assert "**Next:** run `reconciler plan` again, and approve that plan.\n" in ended.out
    assert stack("--allow-destroy", "7", count=1).code == 0


def test_as_text_a_plan_that_is_blocked_says_what_is_next_too(stack: Stack) -> None:
    assert stack(count=8).code == 0
    ended = stack(count=1, output="text")
    assert ended.code == 1
    assert ended.err == "Next: if that is meant, plan or apply with `--allow-destroy 7`.\n"


@pytest.mark.parametrize("output", ["html", "gitlab"])
def test_a_report_has_no_other_format(stack: Stack, output: str) -> None:
    ended = stack(count=1, output=output)
    assert ended.code == 64
    assert f"-o {output} is for plan, show, diff, drift" in ended.err
