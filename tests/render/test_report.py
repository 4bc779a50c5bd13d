"""What a report says to type next: the command that was run, never one that would undo it."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Reason, Report, Status
from reconciler.model.spec import Slot
from reconciler.render.report import closing_line, report_text

DEFERRED = Entry(
    slot=Slot(app="app", pool="work", region="iad", number=0),
    action=Action.DESTROY,
    status=Status.DEFERRED,
    detail="busy: a run is in progress",
)
FAILED = replace(DEFERRED, status=Status.FAILED, detail="409")
LOCKED = replace(FAILED, reason=Reason.LOCK)


@pytest.mark.parametrize("entry", [DEFERRED, FAILED, LOCKED], ids=lambda entry: f"{entry.status.value}-{entry.reason}")
def test_what_a_destroy_left_is_never_to_be_applied(entry: Entry) -> None:
    report = Report(
        plan=Plan(stack="s", apps=(), changes=(), observed_at=datetime(2026, 1, 1, tzinfo=UTC)), entries=(entry,)
    )
    told = report_text(report, verb="destroy")
    assert "`reconciler destroy`" in told
    assert "apply" not in told.casefold()
    assert "applied" not in told.casefold()
    assert "`reconciler destroy`" not in report_text(report)


def test_an_apply_that_only_destroyed_says_so() -> None:
    plan = Plan(stack="s", apps=(), changes=(), observed_at=datetime(2026, 1, 1, tzinfo=UTC))
    gone = replace(DEFERRED, status=Status.DONE, detail="")
    made = replace(gone, action=Action.CREATE)
    assert closing_line(Report(plan=plan, entries=(gone, gone)), "apply") == "Destroyed: 2 done, in 0.0 s."
    assert closing_line(Report(plan=plan, entries=(gone, made)), "apply") == "Applied: 2 done, in 0.0 s."
    with_app = Report(plan=plan, entries=(gone,), apps_created=("new",))
    assert closing_line(with_app, "apply") == "Applied: app new created, 1 done, in 0.0 s."
    assert closing_line(Report(plan=plan, entries=(DEFERRED,)), "apply") == "Applied: 1 deferred, in 0.0 s."
