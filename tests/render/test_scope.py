"""The first line of each plan and prompt: where it holds, in every format, however strange the names are."""

import json
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from reconciler.model.plan import Plan
from reconciler.model.scope import Scope
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.scope import scope_line
from reconciler.render.style import columns, wrapped
from reconciler.render.text import plan_text

ON_FLY = Scope(stack="shop", spec="deploy/machines.yaml", target="fly", orgs=("acme",))
TABLE = (
    (ON_FLY, "Stack shop on Fly (org acme), spec deploy/machines.yaml"),
    (replace(ON_FLY, environment="pr-7"), "Stack shop, environment pr-7, on Fly (org acme), spec deploy/machines.yaml"),
    (replace(ON_FLY, orgs=("a", "b")), "Stack shop on Fly (orgs a, b), spec deploy/machines.yaml"),
    (replace(ON_FLY, orgs=tuple("abcde")), "Stack shop on Fly (orgs a, b, c, 2 more), spec deploy/machines.yaml"),
    (replace(ON_FLY, overlays=("b.yaml",)), "Stack shop on Fly (org acme), spec deploy/machines.yaml + b.yaml"),
    (replace(ON_FLY, target="local"), "Stack shop on the local engine, spec deploy/machines.yaml"),
    (replace(ON_FLY, target="http://10.0.0.1:80"), "Stack shop on http://10.0.0.1:80, spec deploy/machines.yaml"),
    (replace(ON_FLY, target=None), "Stack shop, spec deploy/machines.yaml"),
    (
        replace(ON_FLY, target=None, before="git:main:m.yaml"),
        "Stack shop, from git:main:m.yaml to deploy/machines.yaml",
    ),
    (
        replace(ON_FLY, target=None, environment="pr-7"),
        "Stack shop, environment pr-7, spec deploy/machines.yaml",
    ),
    (replace(ON_FLY, spec="a\x1b[2J\n::error::b"), "Stack shop on Fly (org acme), spec a [2J : :error::b"),
)


@pytest.mark.parametrize(("scope", "line"), TABLE, ids=[line for _, line in TABLE])
def test_the_line_names_the_target_the_stack_the_environment_and_the_spec(scope: Scope, line: str) -> None:
    assert scope_line(scope) == line
    plan = Plan(stack="shop", apps=(), changes=(), observed_at=datetime(2026, 1, 1, tzinfo=UTC), scope=scope)
    assert plan_text(plan, salt="s").splitlines()[0] == line
    assert f"<p>{line}</p>" in plan_html(plan, plan_sha256=None, salt="s")
    assert f"`{line}`" in plan_markdown(plan, plan_sha256=None, salt="s").splitlines()
    document = json.loads(json_text(plan_json(plan, plan_sha256=None, salt="s")))
    assert (document["target"], document["environment"]) == (scope.target, scope.environment)
    assert document["orgs"] == list(scope.orgs)


def test_a_line_of_wide_letters_is_wrapped_by_its_columns() -> None:
    scope = replace(ON_FLY, spec="展開 設定 仕様 機械 環境 計画 適用 一覧.yaml")
    lines = wrapped(scope_line(scope), 40, hanging=2)
    assert " ".join(line.strip() for line in lines) == scope_line(scope)
    assert len(lines) == 3
    assert all(columns(line) <= 40 for line in lines)


def test_in_colours_it_is_bold_and_nothing_else() -> None:
    plan = Plan(stack="shop", apps=(), changes=(), scope=ON_FLY)
    plain, coloured = (plan_text(plan, salt="s", color=color) for color in (False, True))
    first, rest = coloured.split("\n", 1)
    assert first == f"\x1b[1m{scope_line(ON_FLY)}\x1b[0m"
    assert rest == plain.split("\n", 1)[1]
