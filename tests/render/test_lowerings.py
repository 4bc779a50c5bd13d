"""What a plan leaves less of has rows of its own, in a saved plan and for drift too."""

import json
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from reconciler.model.selection import WHOLE
from reconciler.operations.diff import diff
from reconciler.operations.saved_plans import bind
from reconciler.planner.drift import with_drift
from reconciler.render.json import json_text, plan_json
from reconciler.render.lowerings import lowering_lines
from reconciler.render.markdown import plan_markdown
from reconciler.render.saved import parse_saved, saved_json
from tests.support.plan_cases import ROOT, plan_of, read_spec
from tests.support.schemas import SCHEMAS, strict
from tests.support.world import TARGET, spec_of

FULL = ROOT / "lowered"


def test_a_saved_plan_has_the_same_rows() -> None:
    plan = plan_of(FULL)
    spec = read_spec(FULL / "spec.yaml")
    saved = bind(plan, spec, TARGET, selection=WHOLE, app=None, adopt=True, allow_destroy=9, images={})
    read = parse_saved(json_text(saved_json(saved, salt="s")), name="plan.json")
    assert list(lowering_lines(read.plan)) == list(lowering_lines(plan)) != []


def test_programs_have_the_same_rows() -> None:
    document = plan_json(plan_of(FULL), plan_sha256=None, salt="s")
    Draft202012Validator(strict(json.loads((SCHEMAS / "plan.schema.json").read_text()))).validate(document)
    assert {one["what"] for one in document["lowerings"]} == {
        *("memory", "cpus", "cpu_kind", "check", "count", "region", "pool"),
    }


@pytest.mark.parametrize(
    "case", ["lowered-nothing", "first-apply", "nothing-to-do", "env-changed", "twins", "prune-clones"]
)
def test_nothing_is_said_where_there_is_nothing_less(case: str) -> None:
    assert list(lowering_lines(plan_of(ROOT / case))) == []


def test_drift_has_a_row_for_what_someone_else_raised_and_for_nothing_of_the_spec() -> None:
    plan = plan_of(ROOT / "drifted")
    [row] = lowering_lines(with_drift(plan))
    assert row == "lowers memory of app/work from 1024 to 256 MB: work-iad-1"
    assert list(lowering_lines(with_drift(plan_of(FULL)))) == []


def test_what_is_left_out_of_a_plan_has_no_row() -> None:
    plan = plan_of(FULL)
    kept = tuple(change for change in plan.changes if change.slot.pool == "api")
    [row] = lowering_lines(replace(plan, changes=kept))
    assert row.startswith("takes away checks of app/api")


def test_a_comment_with_very_many_rows_names_the_first_and_counts_the_others() -> None:
    def text(memory: int) -> str:
        pools = "\n".join(
            f"      p{at}: {{command: [run], guest: {{cpu_kind: shared, cpus: 1, memory_mb: {memory}}}}}"
            for at in range(30)
        )
        return f"version: 1\nname: stack\napps:\n  app:\n    image: registry.example/app:1\n    tasks:\n{pools}\n"

    plan = diff(spec_of(text(512)), spec_of(text(256)), at=datetime(2026, 1, 1, tzinfo=UTC))
    comment = plan_markdown(plan, plan_sha256=None, salt="s")
    assert comment.count("lowers memory") == 20
    assert "10 more rows like these" in comment
