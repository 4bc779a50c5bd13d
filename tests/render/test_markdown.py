"""A plan as Markdown: what is lost stands first, nothing of it is dropped, and no text breaks out of its place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.change import Action, Cause, Change, FieldChange
from reconciler.model.machine import MachineState
from reconciler.model.plan import ForeignMachine, Plan
from reconciler.model.spec import PoolKind, Slot
from reconciler.render.markdown import LIMIT, plan_markdown
from reconciler.render.text import plan_text
from tests.support.markdown_page import Page

HOSTILE = [
    "`x` | <script>alert(1)</script> @everyone #1 \x1b[31m [l](javascript:x) --> ![i](//evil)",
    "```\n- b\n```\n# heading\n/close",
    "\\` \\| a\\\\| | `` ` </code></details><img src=x onerror=alert(1)>",
    "$`x`$ :tada: https://evil.example www.evil.example ~~x~~ &lt;b&gt; &#64;all",
]
ALLOWED = {"h3", "p", "code", "pre", "blockquote", "strong", "b", "details", "summary", "ul", "li"} | {
    *("table", "thead", "tbody", "tr", "th", "td")
}


def change(number: int, action: Action, *, pool: str = "pool", text: str = "", fields: int = 1) -> Change:
    return Change(
        slot=Slot(app="app", pool=pool, region="iad", number=number),
        kind=PoolKind.TASK,
        action=action,
        reason=f"because {text}",
        fields=tuple(
            FieldChange(path=f"env.{text}{at}", observed=f"a{text}", desired=f"b{text}", cause=Cause.DRIFT)
            for at in range(0 if action is Action.DESTROY else fields)
        ),
        machine_id=f"id{number}",
    )


def shown(*changes: Change, text: str = "", warnings: tuple[str, ...] = (), blocked: tuple[str, ...] = ()) -> str:
    foreign = ForeignMachine(app="app", id="f1", name=f"n{text}", state=MachineState.STARTED, reason="")
    plan = Plan(stack="s", apps=(), changes=changes, foreign=(foreign,), warnings=warnings, blocked=blocked)
    return plan_markdown(plan, plan_sha256=f"sha256:{'0' * 64}", salt="s")


def check_nothing_breaks_out(text: str) -> None:
    made = change(0, Action.UPDATE, text=text), change(1, Action.DESTROY, text=text), change(2, Action.REPLACE)
    page = Page(shown(*made, text=text, warnings=(f"w {text}",), blocked=(f"b {text}",)))
    assert page.tags <= ALLOWED
    assert page.attributes <= {"class", "style"}
    plain = Page(shown(*made, warnings=("w ",), blocked=("b ",)))
    assert "".join(page.prose).split() == "".join(plain.prose).split(), "foreign text is in code only"
    assert [len(row) for row in page.cells] == [len(row) for row in plain.cells]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out_of_its_place(text: str) -> None:
    check_nothing_breaks_out(text)


@given(st.text(st.sampled_from("`|\\<>&*_[]()@#:-~$! \nab"), max_size=30))
def test_no_combination_of_signs_breaks_out(text: str) -> None:
    check_nothing_breaks_out(text)


def test_a_value_is_shown_exactly() -> None:
    value = "a|b `c` \\| <d> &amp; @e"
    field = FieldChange(path="init.cmd", observed="x", desired=value, cause=Cause.SPEC)
    one = Change(
        slot=Slot(app="app", pool="pool", region="iad", number=0),
        kind=PoolKind.TASK,
        action=Action.UPDATE,
        reason="",
        fields=(field,),
    )
    assert ["init.cmd", "x", value, ""] in Page(shown(one)).cells


def test_what_is_lost_stands_first_and_in_red() -> None:
    text = shown(
        change(0, Action.CREATE, pool="a"),
        change(1, Action.UPDATE, pool="b"),
        *(change(number, Action.REPLACE, pool="c") for number in (5, 6, 7, 8)),
        change(3, Action.DESTROY, pool="d"),
        change(4, Action.SETTINGS, pool="d"),
    )
    red = re.search(r"```diff\n(.*?)```", text, re.DOTALL)
    assert red
    assert red[1].splitlines() == [
        "- destroy app/d: d-iad-3 (because)",
        "- replace app/c: c-iad-5…8 (because)",
    ]
    assert text.index("```diff") < text.index("| pool |") < text.index("<details>")
    rows = Page(text).cells
    assert rows[0] == ["pool", "app", "destroy", "replace", "create", "update", "settings"]
    assert rows[1:5] == [
        ["c", "app", "", "4", "", "", ""],
        ["d", "app", "1", "", "", "", "1"],
        ["a", "app", "", "", "1", "", ""],
        ["b", "app", "", "", "", "1", ""],
    ]


def test_a_plan_too_long_loses_its_other_changes_first() -> None:
    long = [change(at, Action.UPDATE, pool=f"p{at}", fields=30, text="y" * 100) for at in range(300)]
    text = shown(*long, change(900, Action.DESTROY, pool="gone"), change(901, Action.REPLACE, pool="again"))
    assert len(text) <= LIMIT
    assert "destroy app/gone: gone-iad-900" in text
    assert "<b>-/+ replace</b> 1 in <code>app/again</code>" in text
    left = re.search(r"… and (\d+) more, left out for length", text)
    assert left
    assert int(left[1]) + text.count("<b>~ update</b>") == 300
    assert "`app: n`" in text, "what is short still fits"


def test_ten_thousand_losses_are_counted_to_the_last() -> None:
    lost = [change(at, Action.DESTROY, pool=f"p{at}", text=f"{HOSTILE[0]}{at}") for at in range(0, 20_000, 2)]
    text = shown(*lost, warnings=tuple(HOSTILE * 300), blocked=tuple(HOSTILE * 300))
    assert len(text) <= LIMIT
    red = re.search(r"```diff\n(.*?)```", text, re.DOTALL)
    assert red
    *named, last = red[1].splitlines()
    more = re.fullmatch(r"- … and (\d+) more machines", last)
    assert more
    assert len(named) + int(more[1]) == len(lost)


def test_of_one_pool_all_names_are_told_as_far_as_they_are_few() -> None:
    scattered = [change(at, Action.DESTROY) for at in range(0, 100, 2)]
    text = shown(*scattered)
    assert "pool-iad-22 and 38 more (because)" in text
    assert "`pool-iad-98`" in text, "the others are folded"
    assert "<details>" not in shown(*scattered[:3]), "the red line tells it all"


def test_who_holds_a_lease_is_told() -> None:
    words = "app/pool-iad-0 is locked by apply of ci@runner until 12:00:00"
    assert f"> **Warning:** `{words}`" in shown(change(0, Action.UPDATE), warnings=(words,))


def test_the_text_names_what_is_lost_at_its_end() -> None:
    lost = change(3, Action.DESTROY, pool="d"), *(change(at, Action.REPLACE, pool="c") for at in range(5))
    plan = Plan(stack="s", apps=(), changes=(*lost, *(change(at, Action.UPDATE, pool="e") for at in range(5))))
    assert plan_text(plan, salt="s").splitlines()[-3:] == [
        "",
        "Destroys 1: app/d-iad-3. Replaces 5: app/c-iad-0…4.",
        "Plan: 0 to create, 5 to update, 5 to replace, 1 to destroy.",
    ]
    alone = Plan(stack="s", apps=(), changes=lost)
    assert "Destroys" not in plan_text(alone, salt="s"), "each line tells it already"
