"""What people see on terminals of 80 and 50 columns, without colour and once with, as files of tests/cases/screens.

RECONCILER_REWRITE=1 writes them anew, to be read before they are committed.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from reconciler.errors import SpecError
from reconciler.model.change import Action, Cause, FieldChange
from reconciler.model.conformance import Conformance, ProbeResult, Verdict
from reconciler.model.machine import Check
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.revision import numbered
from reconciler.model.run import Outcome, OutcomeName, Run, RunInfo, RunState
from reconciler.model.scope import Scope
from reconciler.model.slot_status import SlotStatus
from reconciler.model.spec import Slot
from reconciler.render.conformance import conformance_text
from reconciler.render.diagnostics import diagnostics_text
from reconciler.render.questions import apply_question, destroy_question, release_question
from reconciler.render.report import report_text
from reconciler.render.runs import end_text, runs_text
from reconciler.render.status import status_text
from reconciler.render.style import columns, wrapped
from reconciler.render.text import plan_text
from reconciler.spec import load_spec
from tests.support.plan_cases import ROOT, plan_of

SCREENS = Path(__file__).parents[1] / "cases" / "screens"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCOPE = Scope(stack="shop", spec="machines.yaml", target="fly", orgs=("acme",), environment="staging")
UNBROKEN = ("https://", "Plan hash")  # what is to be copied in one piece may be wider


class Size(NamedTuple):
    width: int
    color: bool


def plan_screen(case: str) -> Callable[[Size], str]:
    def show(size: Size) -> str:
        plan = replace(plan_of(ROOT / case), scope=SCOPE)
        return plan_text(plan, color=size.color, width=size.width, salt="fixed")

    return show


def words_screen(size: Size) -> str:
    """A plan that changes words of a command and of a long variable, whose values are shown."""
    command = ["php", "artisan", "import:orders", "--since", "yesterday", "--chunk", "500"]
    text = "host=db.internal port=5432 dbname=orders connect_timeout=10 application_name=import sslmode=require"
    fields = (
        FieldChange(path="init.cmd", observed=command, desired=[*command[:4], "today", "--dry-run"], cause=Cause.SPEC),
        FieldChange(
            path="env.DSN",
            observed=f"{text} keepalives=1",
            desired=f"{text.replace('5432', '6432')} keepalives=0",
            cause=Cause.SPEC,
            is_secret=True,
        ),
        FieldChange(
            path="image", observed="registry.fly.io/shop:1", desired="registry.fly.io/shop:2", cause=Cause.BOTH
        ),
    )
    [change] = plan_of(ROOT / "image-changed").effective[:1]
    plan = Plan(stack="shop", apps=(), changes=(replace(change, fields=fields),), scope=SCOPE)
    return plan_text(plan, color=size.color, width=size.width, salt=None)


WRONG = """version: 1
name: shop
apps:
  shop:
    image: registry.fly.io/shop:1
    tasks:
      import: {comand: [php, artisan, import], count: many, regions: [amsterdam]}
      report: {env: [LOG_LEVEL=info], timeout: 10 minutes}
"""


def validate_screen(size: Size) -> str:
    with pytest.raises(SpecError) as found:
        load_spec(WRONG, file="machines.yaml", environment={})
    return diagnostics_text(found.value.diagnostics, width=size.width)


def conform_screen(size: Size) -> str:
    results = tuple(
        ProbeResult(
            name=name,
            group="assumption",
            assumes="the names of an app's machines are unique, and a second create of a name is refused",
            calls="POST /apps/{app}/machines",
            verdict=verdict,
            seen=seen,
        )
        for name, verdict, seen in (
            ("A1 a name is taken", Verdict.DIFFERS, "a second machine of the same name was made"),
            ("A7 a lease ends by itself", Verdict.UNTRIED, "no machine started within 60 s"),
        )
    )
    found = Conformance(
        url="https://machines.example", app="conform-01", results=results, machines=2, duration_s=61, left=("a volume",)
    )
    return conformance_text(found, color=size.color, width=size.width)


def slot(name: str, state: str, *, app: str = "shop", kind: str = "task", ended_s: float | None = None) -> SlotStatus:
    ended = NOW - timedelta(seconds=ended_s) if ended_s is not None else None
    return SlotStatus(
        app=app,
        pool=name.rsplit("-", 2)[0],
        kind=kind,
        slot=name,
        region="iad",
        machine_id=f"{len(name):014x}" if state != "missing" else None,
        state=state,
        since=NOW - timedelta(minutes=3) if state != "missing" else None,
        last_outcome="exited 0" if ended else None,
        last_ended=ended,
        note="",
    )


TASKS = [slot("get-release-iad-0", "stopped", ended_s=40), slot("get-release-iad-1", "started", ended_s=7200)]
CHECK = Check(name="alive", status="critical", output="connection refused by 127.0.0.1:8080")
SERVICES = [
    slot("web-iad-0", "started", kind="service"),
    replace(slot("web-iad-1", "started", kind="service"), restarts=2, failing=(CHECK,)),
    slot("queue-iad-0", "started", kind="service"),
]
TROUBLED = [
    *TASKS,
    slot("get-release-iad-2", "missing"),
    replace(TASKS[0], slot="get-release-ams-0", differs="drift"),
    *SERVICES,
    replace(slot("old-iad-0", "stopped", ended_s=90_000), is_declared=False, note="no longer in the spec"),
    replace(slot("nightly-import-of-all-the-things-iad-0", "stopped", app="shop-eu"), lock="locked by ci until 12:01"),
    replace(slot("輸入作業-iad-0", "stopped", app="shop-eu"), differs="spec"),
    replace(slot("stray-iad-0", "started"), pool="", kind="", is_declared=False, note="foreign: not of this stack"),
]


def status_screen(rows: list[SlotStatus], *, shows_machines: bool = False) -> Callable[[Size], str]:
    return lambda size: status_text(
        rows,
        now=NOW,
        color=size.color,
        width=size.width,
        shows_machines=shows_machines,
        scope=SCOPE,
        applied=numbered(7),
        urls={"shop": ("https://shop.fly.dev",)},
    )


def run(slot: str, ulid: str, seconds_ago: float, outcome: Outcome | None) -> RunInfo:
    started = NOW - timedelta(seconds=seconds_ago)
    return RunInfo(
        id=f"{slot}/{ulid}",
        task=slot.rsplit("-", 2)[0],
        app="shop",
        slot=slot,
        machine_id="148ed127c42d89",
        state=RunState.ENDED if outcome else RunState.RUNNING,
        who="ci run 4711 of acme/shop on GitHub",
        started_at=started,
        ended_at=started + timedelta(seconds=1.2) if outcome else None,
        outcome=outcome,
    )


SUCCEEDED = Outcome(name=OutcomeName.SUCCEEDED, exit_code=0, task_code=0, message="succeeded")
FAILED = Outcome(name=OutcomeName.FAILED, exit_code=7, task_code=7, message="exited 7")
TIMED_OUT = Outcome(name=OutcomeName.TIMED_OUT, exit_code=124, message="timed out", remedy="raise --timeout")
NEVER_STARTED = Outcome(
    name=OutcomeName.NEVER_STARTED,
    exit_code=121,
    message="never started: no capacity in iad, for 60s",
    remedy="try again, or give the task another region",
)
RUNS = [
    run("get-release-iad-1", "01KDVF00VEAAAAAAAAAAAAAAAA", 65, None),
    run("get-release-iad-0", "01KDVDPHK60MBVFK2C4QJDY3TX", 4_000, SUCCEEDED),
    run("get-release-iad-0", "01KDVDPHK5ZZZZZZZZZZZZZZZZ", 4_001, FAILED),
    run("get-release-iad-1", "01KDVDNKT21YPF9Q00E6K5TYKY", 90_000, TIMED_OUT),
]


def runs_screen(runs: list[RunInfo], **options: bool) -> Callable[[Size], str]:
    return lambda size: runs_text(runs, now=NOW, width=size.width, color=size.color, **options)


def end_screen(outcome: Outcome, *, was_claimed: bool = True) -> Callable[[Size], str]:
    run_id, started = ("get-release-iad-0/01KDVDPHK60MBVFK2C4QJDY3TX", NOW) if was_claimed else (None, None)
    ended = started and started + timedelta(seconds=1.2)
    run = Run(task="get-release", app="shop", outcome=outcome, id=run_id, started_at=started, ended_at=ended)
    return lambda size: end_text(run, color=size.color, width=size.width)


def question_screen(ask: Callable[[Plan], str], case: str) -> Callable[[Size], str]:
    question = ask(replace(plan_of(ROOT / case), scope=SCOPE))
    return lambda size: "\n".join(
        part for line in question.split("\n") for part in wrapped(line, size.width, hanging=2)
    )


def report_screen(verb: str, action: Action, *, failed: bool = False) -> Callable[[Size], str]:
    def entry(number: int, status: Status, detail: str = "") -> Entry:
        place = Slot(app="shop", pool="get-release", region="iad", number=number)
        return Entry(slot=place, action=action, status=status, detail=detail, address=place.address)

    entries = [
        entry(0, Status.DONE),
        entry(1, Status.DEFERRED if failed else Status.DONE, "busy: a run is in progress"),
    ]
    if failed:
        entries.append(
            entry(2, Status.FAILED, "no capacity in iad for shared-cpu-1x: try another region (request 01JX)")
        )
    report = Report(
        plan=Plan(stack="shop", apps=(), changes=(), scope=SCOPE),
        entries=tuple(entries),
        duration_s=3.4,
        failures=("the lease on get-release-iad-2 was lost while it was written",) if failed else (),
        urls={"shop": ("https://shop.fly.dev",)} if verb == "apply" else {},
    )
    return lambda size: report_text(report, color=size.color, verb=verb, width=size.width)


TABLE: dict[str, Callable[[Size], str]] = {
    "plan": plan_screen("first-apply"),
    "plan-of-everything": plan_screen("everything"),
    "drift": plan_screen("drifted"),
    "status": status_screen(TASKS),
    "status-of-services": status_screen(SERVICES),
    "status-troubled": status_screen(TROUBLED),
    "status-of-machines": status_screen(TROUBLED, shows_machines=True),
    "runs": runs_screen(RUNS),
    "runs-with-whole-ids": runs_screen(RUNS, shows_whole_ids=True),
    "runs-none": runs_screen([], is_selection=True),
    "invoke-succeeded": end_screen(SUCCEEDED),
    "invoke-failed": end_screen(FAILED),
    "invoke-timed-out": end_screen(TIMED_OUT),
    "invoke-never-started": end_screen(NEVER_STARTED, was_claimed=False),
    "validate": validate_screen,
    "conform": conform_screen,
    "ask-before-apply": question_screen(apply_question, "everything"),
    "ask-before-release": question_screen(release_question, "everything"),
    "ask-before-destroy": question_screen(destroy_question, "retired"),
    "show-words": words_screen,
    "applied": report_screen("apply", Action.CREATE),
    "applied-in-part": report_screen("apply", Action.CREATE, failed=True),
    "destroyed": report_screen("destroy", Action.DESTROY),
}
SIZES = {"80": Size(80, color=False), "50": Size(50, color=False), "80.colour": Size(80, color=True)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", TABLE)
def test_a_screen_says_what_its_file_says(screen: str, size: str) -> None:
    file = SCREENS / f"{screen}.{size}.txt"
    text = TABLE[screen](SIZES[size]) + "\n"
    if os.environ.get("RECONCILER_REWRITE"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("width", [80, 50, 40])
@pytest.mark.parametrize("screen", TABLE)
def test_no_line_is_wider_than_the_terminal(screen: str, width: int) -> None:
    lines = TABLE[screen](Size(width, color=True)).split("\n")
    wide = [line for line in lines if columns(line) > width and not any(words in line for words in UNBROKEN)]
    assert [line for line in wide if " " in line.strip()] == []


def test_every_file_is_of_a_screen() -> None:
    assert {file.name for file in SCREENS.iterdir()} == {f"{screen}.{size}.txt" for screen in TABLE for size in SIZES}
