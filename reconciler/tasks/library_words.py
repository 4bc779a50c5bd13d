"""Rewrite errors, plans and reports for programs: flags become arguments.

What happened and what to do about it is written once, for the command. A program that calls the library has no flags.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import wraps
from typing import Any, Final, TypeVar, cast

from msgspec.structs import replace

from reconciler.errors import NotStartedError, ReconcilerError
from reconciler.model.apply_event import ApplyEvent
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report
from reconciler.model.run import Outcome, RunInfo
from reconciler.operations.runs import ListedRuns

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

_FLAGS: Final = (
    (r"run `reconciler build`, or apply with --build", "call `Stack.build()`"),
    (r"--allow-destroy (\d+)", r"allow_destroy=\1"),
    (r"pass --allow-rollback", "say so with allow_rollback=True"),
    (r"--allow-rollback\b", "allow_rollback=True"),
    (r"--(only|exclude)\b", r"`\1`"),
    (r"--revision N\b", "`revision`"),
    (r"--no-revision\b", "no_revision=True"),
    (r"--adopt\b", "adopt=True"),
    (r"--prune-clones\b", "prune_clones=True"),
    (r"`?--target local\b`?", 'target="local"'),
    (r"--target\b", "`target`"),
    (r"--environment ENV\b", "`environment_name`"),
    (r"--environment\b", "`environment_name`"),
    (r"--app APP\b", "`app`"),
    (r"`-f ([^` ]+)`", r'`file="\1"`'),
    (r"-f FILE names", "`file` names"),
    (r"-C names", "`directory` names"),
    (r"--file\b", "`file`"),
    (r"--delete-apps\b", "`delete_apps`"),
    (r"--parallelism\b", "`parallelism`"),
    (r"--push-to\b", "RECONCILER_PUSH_TO"),
    (r"pass --timeout\b", "pass `timeout`"),
    (r"--(queue|start)-timeout\b", r"`\1_timeout`"),
)
# In hints only: elsewhere a command is what someone has run, such as the holder of a lease.
_COMMANDS: Final = (
    (r"`reconciler plan --out FILE`", "`Stack.save_plan()`"),
    (r"`reconciler (apply|build|plan|runs|status|unlock)`", r"`Stack.\1()`"),
    (r"`reconciler runs ([^` ]+)`", r'`runs("\1")`'),
    (r"`reconciler (cancel|logs|wait) ([^` ]+)`", r'`find("\2").\1()`'),
)


def of_message(text: str) -> str:
    """Return the text of a message with arguments in place of flags."""
    return _replaced(text, _FLAGS)


def of_hint(text: str | None) -> str | None:
    """Return the hint with arguments in place of flags, methods in place of commands."""
    return text and _replaced(text, (*_FLAGS, *_COMMANDS))


def of_outcome(outcome: Outcome, run_id: str = "RUN") -> Outcome:
    """Return the outcome of this run with its remedy in the library's words."""
    remedy = of_hint(outcome.remedy)
    remedy = remedy and remedy.replace('find("RUN")', f'find("{run_id}")')
    return outcome if remedy == outcome.remedy else replace(outcome, remedy=remedy)


def of_run(info: RunInfo) -> RunInfo:
    """Return the run with its outcome in the library's words."""
    outcome = info.outcome and of_outcome(info.outcome, info.id)
    return info if outcome is info.outcome else replace(info, outcome=outcome)


def of_plan(plan: Plan) -> Plan:
    """Return the plan with its warnings and obstacles in the library's words.

    Its hash is the same.
    """
    blocked, warnings = _all_of(plan.blocked), _all_of(plan.warnings)
    is_same = (blocked, warnings) == (plan.blocked, plan.warnings)
    return plan if is_same else replace(plan, blocked=blocked, warnings=warnings)


def of_entry(entry: Entry) -> Entry:
    """Return the entry with its detail in the library's words."""
    detail = of_message(entry.detail)
    return entry if detail == entry.detail else replace(entry, detail=detail)


def of_report(report: Report) -> Report:
    """Return the report with its texts in the library's words."""
    return replace(
        report,
        plan=of_plan(report.plan),
        entries=tuple(of_entry(entry) for entry in report.entries),
        mismatches=_all_of(report.mismatches),
        failures=_all_of(report.failures),
    )


def of_result(value: Any) -> Any:
    """Return the result of a method with its texts in the library's words."""
    match value:
        case Outcome():
            return of_outcome(value)
        case RunInfo():
            return of_run(value)
        case ListedRuns():
            return replace(value, runs=tuple(of_run(run) for run in value.runs))
        case list():
            return [of_result(one) for one in value]
        case Plan():
            return of_plan(value)
        case Report():
            return of_report(value)
        case _:
            return value


def of_event(event: ApplyEvent) -> ApplyEvent:
    """Return the event with what it is about in the library's words."""
    match event.about:
        case Entry():
            return replace(event, about=of_entry(event.about))
        case Plan():
            return replace(event, about=of_plan(event.about))
        case Report():
            return replace(event, about=of_report(event.about))
        case _:
            return event


@contextmanager
def spoken() -> Iterator[None]:
    """Rewrite an error that leaves the block in the library's words."""
    try:
        yield
    except ReconcilerError as error:
        error.message, error.hint = of_message(error.message), of_hint(error.hint)
        error.args = (error.message,)
        _show_hint(error)
        if isinstance(error, NotStartedError):
            error.outcome = of_outcome(error.outcome)
        raise


def _show_hint(error: ReconcilerError) -> None:
    """Let a traceback end with the hint, unless the text has it."""
    hint = error.hint
    if hint and hint not in str(error) and hint not in getattr(error, "__notes__", ()):
        error.add_note(hint)


def spoken_by(function: F) -> F:
    """Wrap the function: its errors and results are in the library's words.

    It may be a coroutine function or an async generator.
    """
    call: Any = function

    async def in_coroutine(*arguments: Any, **named: Any) -> Any:
        with spoken():
            return of_result(await call(*arguments, **named))

    async def in_generator(*arguments: Any, **named: Any) -> Any:
        with spoken():
            async with aclosing(call(*arguments, **named)) as each:
                async for value in each:
                    yield value

    def plainly(*arguments: Any, **named: Any) -> Any:
        with spoken():
            return of_result(call(*arguments, **named))

    wrapper: Any = plainly
    if inspect.iscoroutinefunction(function):
        wrapper = in_coroutine
    elif inspect.isasyncgenfunction(function):
        wrapper = in_generator
    same: Any = wraps(function)(wrapper)
    return cast(F, same)


def spoken_by_methods(cls: C) -> C:
    """Wrap all public methods of the class as `spoken_by` does."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod):
            setattr(cls, name, classmethod(spoken_by(member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, spoken_by(member))
    return cls


def _all_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(of_message(text) for text in texts)


def _replaced(text: str, table: tuple[tuple[str, str], ...]) -> str:
    if "--" not in text and "`" not in text:
        return text
    for pattern, words in table:
        text = re.sub(pattern, words, text)
    return text
