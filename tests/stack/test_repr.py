"""What a stack, tasks and a run look like in a debugger or a log: which one it is, and no secret."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler import AsyncStack, AsyncTasks, Stack, Tasks
from reconciler.invoke.runs import list_runs
from tests.support.world import TARGET, World, task_spec

TARGETS: list[tuple[Any, dict[str, str], str]] = [
    (None, {}, "fly"),
    (None, {"RECONCILER_TARGET": "local"}, "local"),
    ("https://api.example/v1", {"RECONCILER_TARGET": "local"}, "https://api.example/v1"),
    ("https://me:pass/word@api.example/?token=hidden#x", {}, "https://api.example/"),
    ("me:password@api.example", {}, "api.example"),
    (replace(TARGET, name="mine"), {}, "mine"),
]


@pytest.mark.parametrize("face", [Stack, AsyncStack])
@pytest.mark.parametrize(("target", "environment", "shown"), TARGETS)
def test_a_stack_names_itself_and_its_target(face: type, target: Any, environment: dict[str, str], shown: str) -> None:
    stack = face(task_spec(), target=target, token="a-token-of-mine", environment=environment)
    assert repr(stack) == f"{face.__name__}(stack={task_spec().stack!r}, target={shown!r})"


@pytest.mark.parametrize("face", [Tasks, AsyncTasks])
@pytest.mark.parametrize(("target", "environment", "shown"), TARGETS)
def test_tasks_name_their_app_and_their_target(
    face: type, target: Any, environment: dict[str, str], shown: str
) -> None:
    assert repr(face("app", target=target, environment=environment)) == f"{face.__name__}(app='app', target={shown!r})"


@pytest.mark.parametrize("face", [Tasks, AsyncTasks])
def test_with_a_token_or_a_url_of_your_own_the_environment_does_not_count(face: type) -> None:
    environment = {"RECONCILER_TARGET": "local"}
    assert "target='fly'" in repr(face("app", token="a-token-of-mine", environment=environment))
    shown = repr(face("app", token=None, url="https://api.example/v1", environment=environment))
    assert "target='https://api.example/v1'" in shown


async def test_a_plan_a_report_and_a_run_are_shown_in_a_line(world: World) -> None:
    spec = task_spec("[exit, '3']", count="1")
    plan = await world.plan(spec)
    assert repr(plan) == "Plan(stack='stack', create=1)"
    assert repr(plan.changes[0]) == "Change(address='app/work-iad-0', action='create', reason='not there')"
    report = await world.apply(spec)
    assert repr(report) == "Report(stack='stack', is_success=True, done=1)"
    assert repr(report.entries[0]) == "Entry(address='app/work-iad-0', action='create', status='done')"
    outcome = (await world.invoke(spec)).outcome
    begins = f"Outcome(name='failed', exit_code=3, message={outcome.message!r}"
    assert repr(outcome) == f"{begins}, remedy={outcome.remedy!r})"
    assert repr(replace(outcome, remedy=None)) == f"{begins})"
    [found] = await list_runs(world.context, "app", stack="stack")
    assert repr(found.info) == f"RunInfo(id={found.info.id!r}, state='ended', outcome='failed', who={found.info.who!r})"
    blocked = replace(plan, blocked=("too much",))
    assert repr(blocked) == "Plan(stack='stack', create=1, blocked=('too much',))"
