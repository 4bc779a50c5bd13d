"""A plan in every format: bounded, masked, and safe whatever names, reasons and values come from elsewhere."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from reconciler.canonical.change_hashes import change_hashes
from reconciler.model.approval import approval_text, approvals_in
from reconciler.model.change import Action, Cause, Change, FieldChange
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine, Expected
from reconciler.model.machine import MachineState
from reconciler.model.plan import AppCreation, AppDeletion, ForeignMachine, Plan, SavedPlan
from reconciler.model.spec import PoolKind, Slot
from reconciler.planner.hashes import plan_sha256
from reconciler.render.changes import grouped
from reconciler.render.html import plan_html
from reconciler.render.json import plan_json
from reconciler.render.markdown import LIMIT, marker, plan_markdown
from reconciler.render.saved import parse_saved, saved_json
from reconciler.render.terraform import resource_changes, widget_counts
from reconciler.render.text import plan_text
from tests.support.plan_cases import CASES, ROOT
from tests.support.plan_cases import plan_of as case_plan

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "plan.schema.json").read_text())
HOSTILE = (
    "`x` | <script>alert(1)</script> @everyone \x1b[31m ::error::x \r\n::set-output name=a::b [l](javascript:x) --> "
)
CANARY = "canary-value"


def desired(number: int, digest: str) -> DesiredMachine:
    return DesiredMachine(
        slot=Slot(app="app", pool=f"pool{number}", region="iad", number=number),
        kind=PoolKind.TASK,
        config=MachineConfig(document={"env": {"A": CANARY}}),
        digest=digest,
    )


def change(number: int, *, text: str = "", action: Action = Action.UPDATE, path: str = "env.A") -> Change:
    return Change(
        slot=Slot(app="app", pool=f"pool{number}", region="iad", number=number),
        kind=PoolKind.TASK,
        action=action,
        reason=f"the spec changed {text}",
        fields=(
            FieldChange(path=path, observed=CANARY, desired=f"{CANARY}{number}", cause=Cause.SPEC, is_secret=True),
            FieldChange(path=f"image{text}", observed=f"a{text}", desired=f"b{text}", cause=Cause.DRIFT),
        ),
        deferred=f"busy {text}" if number % 7 == 3 else None,
        machine_id=f"id{number}",
        expected=Expected(digest="d", applied="1:a"),
        desired=desired(number, "1:b"),
    )


def plan_of(count: int, text: str = "") -> Plan:
    foreign = ForeignMachine(
        app="app", id="f1", name=f"name{text}", state=MachineState.STARTED, reason=f"no mark{text}"
    )
    return Plan(
        stack="stack",
        apps=(AppCreation(name="new", org="personal"),),
        changes=tuple(change(number, text=text) for number in range(count)),
        foreign=(foreign,),
        warnings=(f"a warning {text}",),
        observed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def in_every_format(plan: Plan) -> dict[str, str]:
    found = plan_sha256(plan)
    changes = frozenset(change_hashes(plan))
    saved = SavedPlan(
        plan=plan,
        plan_sha256=found,
        spec_sha256="sha256:0",
        tool_version="1",
        scheme="1",
        target="local",
        change_hashes=changes,
    )
    return {
        "text": plan_text(plan, salt="s"),
        "json": json.dumps(plan_json(plan, plan_sha256=found, salt="s", change_hashes=changes), ensure_ascii=False),
        "markdown": plan_markdown(plan, plan_sha256=found, salt="s", change_hashes=changes),
        "html": plan_html(plan, plan_sha256=found, salt="s"),
        "saved": json.dumps(saved_json(saved, salt="s"), ensure_ascii=False),
    }


@pytest.mark.parametrize("plan", [plan_of(0), plan_of(9), plan_of(9, HOSTILE)], ids=["none", "some", "hostile"])
def test_no_format_shows_a_value_or_a_control_character(plan: Plan) -> None:
    for name, shown in in_every_format(plan).items():
        assert CANARY not in shown, name
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown), name
        assert not re.search(r"^\s*::", shown, re.MULTILINE), name


def test_markdown_begins_with_its_mark() -> None:
    shown = plan_markdown(plan_of(5, HOSTILE), plan_sha256=None, salt="s")
    assert shown.splitlines()[0] == marker("stack") == "<!-- reconciler plan of stack -->"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_has_no_script_and_loads_nothing_whatever_comes_in() -> None:
    reader = Reader()
    reader.feed(plan_html(plan_of(5, HOSTILE), plan_sha256="sha256:1", salt="s"))
    assert "script" not in reader.tags
    assert "<script>alert(1)</script>" in "".join(reader.text)
    assert {"main", "h1", "h2", "details", "summary", "dl", "dt", "del", "ins"} <= set(reader.tags)


@pytest.mark.slow
def test_ten_thousand_different_changes_stay_within_bounds() -> None:
    shown = in_every_format(plan_of(10_000))
    assert len(shown["markdown"]) <= LIMIT
    assert "left out for length" in shown["markdown"]
    assert shown["html"].count("<details") == 10_000
    assert len(json.loads(shown["json"])["changes"]) == 10_000
    assert len(plan_markdown(plan_of(300, HOSTILE * 20), plan_sha256=None, salt="s")) <= LIMIT


def test_json_has_its_schema_and_a_saved_plan_reads_back_as_it_was_shown() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for plan in (plan_of(0), plan_of(9), plan_of(9, HOSTILE)):
        shown = in_every_format(plan)
        for name in ("json", "saved"):
            Draft202012Validator(SCHEMA).validate(json.loads(shown[name]))
        again = parse_saved(shown["saved"], name="x")
        assert again.plan_sha256 == plan_sha256(plan)
        assert again.change_hashes == frozenset(change_hashes(plan))
        [approval] = approvals_in(shown["markdown"])
        assert approval == approval_text(again.plan_sha256, change_hashes(plan))
        assert shown["markdown"].rstrip().endswith(f"<!-- reconciler plan {approval} -->")
        assert plan_text(again.plan, salt="other") == shown["text"]
        assert [one.expected.digest for one in again.plan.changes] == [one.expected.digest for one in plan.changes]


@pytest.mark.parametrize("case", CASES)
def test_the_widget_of_a_merge_request_counts_what_terraforms_readers_count(case: str) -> None:
    plan = case_plan(ROOT / case)
    words = Counter(word for one in resource_changes(plan, salt="s") for word in one["change"]["actions"])
    assert widget_counts(plan) == {word: words[word] for word in ("create", "update", "delete")}


def test_the_widget_counts_apps_that_are_deleted() -> None:
    gone = replace(plan_of(1), app_deletions=(AppDeletion(app="old"),))
    assert widget_counts(gone) == {"create": 1, "update": 1, "delete": 1}
    words = [word for one in resource_changes(gone, salt="s") for word in one["change"]["actions"]]
    assert sorted(words) == ["create", "delete", "update"]


def test_the_hash_is_of_what_is_written_and_of_nothing_else() -> None:
    plan = plan_of(9)
    found = plan_sha256(plan)
    busy = tuple(
        Change(**{name: getattr(one, name) for name in one.__struct_fields__} | {"deferred": None, "reason": "x"})
        for one in reversed(plan.changes)
    )
    same = Plan(stack="stack", apps=plan.apps, changes=busy, warnings=("other",))
    assert plan_sha256(same) == found
    for name, value in {
        "desired": desired(0, "1:c"),
        "expected": Expected(digest="e", applied="1:a"),
        "machine_id": "m",
        "action": Action.REPLACE,
    }.items():
        first, *rest = plan.changes
        other = Change(**{key: getattr(first, key) for key in first.__struct_fields__} | {name: value})
        assert plan_sha256(Plan(stack="stack", apps=plan.apps, changes=(other, *rest))) != found, name
    assert plan_sha256(Plan(stack="other", apps=plan.apps, changes=plan.changes)) != found
    assert plan_sha256(Plan(stack="stack", apps=(), changes=plan.changes)) != found


def test_changes_that_differ_in_a_secret_value_alone_are_shown_apart() -> None:
    def change(number: int, value: str) -> Change:
        field = FieldChange(path="env.A", observed=None, desired=value, cause=Cause.SPEC, is_secret=True)
        slot = Slot(app="app", pool="pool", region="iad", number=number)
        return Change(slot=slot, kind=PoolKind.TASK, action=Action.UPDATE, reason="", fields=(field,))

    plan = Plan(stack="s", apps=(), changes=(change(0, "same"), change(1, "same"), change(2, "other")))
    assert [group.slots for group in grouped(plan)] == [["pool-iad-0", "pool-iad-1"], ["pool-iad-2"]]
