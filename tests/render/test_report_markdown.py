"""The report of an apply in Markdown, in the situations of tests/cases/report.

RECONCILER_REWRITE=1 writes them anew, to be read before they are committed.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.model.change import Action
from reconciler.model.machine import Exit
from reconciler.model.plan import DeletionLimit, Plan, UnreachableMachine
from reconciler.model.report import Entry, Reason, Report, Status, Unhealthy
from reconciler.model.scope import Scope
from reconciler.model.spec import Slot
from reconciler.render.markdown import LIMIT
from reconciler.render.report_markdown import refusal_markdown, report_markdown
from tests.support.markdown_page import Page

CASES = Path(__file__).parents[1] / "cases" / "report"
HOSTILE = "`x` | </pre><script>alert(1)</script> @everyone ```\n::error::x [l](javascript:x) -->"
PLAN = Plan(
    stack="shop",
    apps=(),
    changes=(),
    scope=Scope(stack="shop", spec="machines.yaml", target="fly", orgs=("acme",), environment="pr-7"),
)


def entry(number: int, status: Status, *, pool: str = "web", action: Action = Action.UPDATE, detail: str = "") -> Entry:
    slot = Slot(app="shop", pool=pool, region="iad", number=number)
    return Entry(slot=slot, action=action, status=status, detail=detail, address=slot.address)


DONE = Report(plan=PLAN, entries=(entry(0, Status.DONE), entry(1, Status.DONE)), duration_s=3.0)
CRASHED = replace(
    entry(0, Status.FAILED, detail="exited with 1"),
    unhealthy=Unhealthy(why="exited", ended=Exit(code=1), log=("starting", HOSTILE, "", "  no such table")),
)
LIMIT_OF_8 = DeletionLimit(destroys=5, of=8)
SITUATIONS: dict[str, Callable[[], str]] = {
    "done": lambda: report_markdown(DONE, "apply"),
    "addresses": lambda: report_markdown(
        replace(
            DONE,
            apps_created=("shop",),
            urls={"shop": ("https://shop-pr-7.fly.dev",), "mail": ("mail.fly.dev:25", f"http://{HOSTILE}")},
        ),
        "apply",
    ),
    "destroyed": lambda: report_markdown(
        replace(
            DONE,
            entries=(
                *(entry(at, Status.DONE, pool="work", action=Action.DESTROY) for at in range(6)),
                entry(9, Status.DONE, pool="work", action=Action.DESTROY),
                entry(0, Status.DONE, action=Action.REPLACE),
                entry(1, Status.FAILED, action=Action.REPLACE, detail="no capacity"),
            ),
        ),
        "destroy",
    ),
    "failed": lambda: report_markdown(
        replace(
            DONE,
            entries=(CRASHED, entry(1, Status.SKIPPED, detail="web-iad-0 failed"), entry(0, Status.DONE, pool="work")),
            failures=("the mark hw could not be written",),
            mismatches=("shop/work-iad-0: image is a, not b",),
        ),
        "apply",
    ),
    "locked": lambda: report_markdown(
        replace(
            DONE,
            entries=(
                replace(
                    entry(0, Status.FAILED, detail="locked by apply of ci@runner until 12:00:00"), reason=Reason.LOCK
                ),
            ),
        ),
        "apply",
    ),
    "deferred": lambda: report_markdown(
        replace(DONE, entries=(*DONE.entries, entry(0, Status.DEFERRED, pool="work", detail="busy: a run"))), "apply"
    ),
    "unreachable": lambda: report_markdown(
        replace(
            DONE,
            unreachable=(
                UnreachableMachine(
                    slot=Slot(app="shop", pool="web", region="iad", number=2), id="id2", host="unreachable"
                ),
            ),
        ),
        "apply",
    ),
    "interrupted": lambda: report_markdown(
        replace(
            DONE, entries=(entry(0, Status.DONE), entry(1, Status.SKIPPED, detail="interrupted")), interrupted=True
        ),
        "destroy",
    ),
    "refused-above-the-limit": lambda: refusal_markdown(
        replace(PLAN, blocked=(LIMIT_OF_8.words,), deletion_limit=LIMIT_OF_8), (LIMIT_OF_8.words,), "apply"
    ),
    "refused-blocked": lambda: refusal_markdown(
        replace(PLAN, blocked=("app shop could not be observed",), warnings=("shop/web-iad-0 is locked",)),
        ("app shop could not be observed",),
        "apply",
    ),
    "refused-not-approved": lambda: refusal_markdown(
        PLAN, ("update shop/web-iad-1 was not approved: env.A, image", HOSTILE), "apply"
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_report_says_what_the_case_says(situation: str) -> None:
    text = SITUATIONS[situation]()
    file = CASES / f"{situation}.md"
    if os.environ.get("RECONCILER_REWRITE"):
        file.write_text(text)
    assert text == file.read_text()
    page = Page(text)
    assert page.tags <= {
        *("h3", "p", "code", "pre", "blockquote", "strong", "b", "a", "ul", "li", "details", "summary"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert page.attributes <= {"class", "style", "href"}
    assert ("a" in page.tags) is (situation == "addresses")
    assert not {"alert", "@everyone"} & set(" ".join(page.prose).replace("(", " ").split())


def test_each_case_is_a_situation() -> None:
    assert {path.stem for path in CASES.iterdir()} == set(SITUATIONS)


def test_ten_thousand_failures_are_counted_to_the_last() -> None:
    entries = tuple(
        replace(CRASHED, slot=replace(CRASHED.slot, pool=f"p{at}"), detail=f"{HOSTILE}{at}") for at in range(10_000)
    )
    text = report_markdown(replace(DONE, entries=entries), "apply")
    assert len(text) <= LIMIT
    assert "10000 failed" in text
    lines = text[text.index("```diff") :].splitlines()
    last = next(line for line in lines if line.startswith("- … and"))
    assert lines.index(last) - 1 + int(last.split()[3]) == 10_000


def test_of_many_machines_that_are_gone_the_first_are_named_and_the_others_counted() -> None:
    entries = tuple(
        entry(at, Status.DONE, pool=f"p{pool}", action=Action.DESTROY) for pool in range(10, 35) for at in range(3)
    )
    text = report_markdown(replace(DONE, entries=entries), "apply")
    assert "**Destroyed:** `shop/p10-iad-0…2`, " in text
    assert "`shop/p29-iad-0…2` and 15 more\n" in text
