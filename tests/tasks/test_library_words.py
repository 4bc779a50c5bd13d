"""What errors and outcomes say to a program: arguments and methods, and none of the command's flags."""

import ast
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reconciler import NotStartedError, Outcome, OutcomeName, RunFailedError, Status, UsageError, plan_sha256
from reconciler.tasks.library_words import (
    of_hint,
    of_message,
    of_outcome,
    of_plan,
    of_report,
    spoken_by,
    spoken_by_methods,
)
from tests.support.world import World, task_spec

ROOT = Path(__file__).parents[2] / "reconciler"
OF_THE_COMMAND = {ROOT / "cli", ROOT / "engine", ROOT / "testing", ROOT / "render"}
OF_OTHER_PROGRAMS = {ROOT / "images/builder.py", ROOT / "operations/git.py"}
OF_INIT = {ROOT / "drafts", ROOT / "operations/init.py", ROOT / "operations/origins.py"}
NOT_OF_THE_LIBRARY = {
    ROOT / "operations/service_logs.py",
    ROOT / "slots/context.py",
    ROOT / "tasks/library_words.py",
    *OF_INIT,
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
BUSY = Outcome(name=OutcomeName.BUSY, exit_code=120, message="busy", remedy="raise --queue-timeout")


def texts() -> Iterator[tuple[str, str]]:
    """Each string that a program may be shown, and where it stands."""
    for file in ROOT.rglob("*.py"):
        if {file, *file.parents} & (OF_THE_COMMAND | OF_OTHER_PROGRAMS | NOT_OF_THE_LIBRARY):
            continue
        tree = ast.parse(file.read_text())
        docs = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node.value


def test_each_flag_that_the_library_knows_of_has_words_for_a_program() -> None:
    said = {place: text for place, text in texts() if FLAG.search(text) and "reconciler engine start" not in text}
    assert len(said) > 10
    # The number of machines stands in a string of its own.
    left = {place: of_hint(re.sub(r"--allow-destroy $", "--allow-destroy 5", text)) for place, text in said.items()}
    assert {place: text for place, text in left.items() if FLAG.search(text or "")} == {}


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("destroys 5 of 8: needs --allow-destroy 5", "destroys 5 of 8: needs allow_destroy=5"),
        ("raise `timeout` in the spec, or pass --timeout", "or pass `timeout`"),
        ("raise the task's `count`, or --queue-timeout", "or `queue_timeout`"),
        ("without an account: --target local", 'account: target="local"'),
        ("`--target local` needs neither", 'target="local" needs neither'),
        ("see `reconciler runs`", "see `Stack.runs()`"),
        ("`reconciler wait work-iad-0/01A` tells how it ends", '`find("work-iad-0/01A").wait()` tells'),
        ("make one with `reconciler plan --out FILE`", "with `Stack.save_plan()`"),
        ("run `reconciler build`, or apply with --build", "call `Stack.build()`"),
        ("`reconciler engine start` starts it", "`reconciler engine start` starts it"),
    ],
)
def test_a_hint_is_for_a_program(hint: str, words: str) -> None:
    assert words in (of_hint(hint) or "")


def test_a_message_still_names_what_someone_has_run() -> None:
    assert of_message("held by `reconciler apply` of me@host") == "held by `reconciler apply` of me@host"
    assert of_hint(None) is None
    assert of_outcome(BUSY).remedy == "raise `queue_timeout`"


@spoken_by_methods
class Speaker:
    """Fails in each way that a method can."""

    @classmethod
    def made(cls) -> "Speaker":
        raise UsageError("no file", hint="name it with --file")

    async def called(self) -> None:
        raise NotStartedError(BUSY)

    async def checked(self) -> None:
        raise RunFailedError(BUSY, run_id="t-iad-0/1")

    async def each(self) -> AsyncIterator[int]:
        yield 1
        raise UsageError("--push-to is wrong")


async def test_an_error_of_any_method_is_for_a_program() -> None:
    with pytest.raises(UsageError) as made:
        Speaker.made()
    assert made.value.hint == "name it with `file`"
    assert made.value.__notes__ == [made.value.hint]  # what a traceback ends with
    with pytest.raises(NotStartedError) as called:
        await Speaker().called()
    assert called.value.hint == called.value.outcome.remedy == "raise `queue_timeout`"
    with pytest.raises(RunFailedError, match="; raise `queue_timeout`") as checked:
        await Speaker().checked()
    assert not hasattr(checked.value, "__notes__"), "its text has the remedy already"
    with pytest.raises(UsageError) as each:
        assert [one async for one in Speaker().each()] == []
    assert str(each.value) == each.value.message == "RECONCILER_PUSH_TO is wrong"


async def test_a_plan_and_a_report_are_for_a_program(world: World) -> None:
    assert (await world.apply(task_spec(count="8"))).is_success
    plan = await world.plan(task_spec(count="1"))
    [told] = of_plan(plan).blocked
    assert told == "destroys 7 of 8: needs allow_destroy=7"
    assert plan_sha256(of_plan(plan)) == plan_sha256(plan)
    world.engine.faults.add("rate_limited", calls=("create",), times=-1)
    report = await world.apply(task_spec(count="9"))
    [failed] = [entry for entry in report.entries if entry.status is not Status.DONE]
    [entry] = [entry for entry in of_report(report).entries if entry.status is not Status.DONE]
    assert "lower --parallelism" in failed.detail
    assert "lower `parallelism`" in entry.detail


def test_a_method_is_still_what_it_was() -> None:
    assert inspect.iscoroutinefunction(Speaker.called)
    assert inspect.isasyncgenfunction(Speaker.each)
    assert Speaker.each.__name__ == "each"
    assert inspect.signature(spoken_by(of_message)) == inspect.signature(of_message)
