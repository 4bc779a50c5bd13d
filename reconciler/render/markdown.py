"""Show a plan as Markdown, for a comment on a pull request.

What is destroyed stands first and in red; then a table by pool; then each change, folded. It is never too long for a
comment: what does not fit is counted. Foreign text stands in code, where neither Markdown nor HTML nor a mention means
anything.
"""

from collections.abc import Collection
from typing import Final

from reconciler.model.approval import approval_text
from reconciler.model.plan import Plan
from reconciler.render.changes import Group, Row
from reconciler.render.closing import closing_line
from reconciler.render.images import MERGE_LINK, build_words, variables_words
from reconciler.render.lowerings import lowering_lines
from reconciler.render.markup import cell, code, fitting, folded, html_code, notes, pool_table, red
from reconciler.render.pools import by_pool, first_of, is_told_by_loss, losses, worst_first
from reconciler.render.scope import scope_line
from reconciler.render.style import SYMBOL_OF_FOREIGN

LIMIT: Final = 60_000  # a comment may have 65,536 characters
_MOST_APPROVED: Final = 25_000  # characters of the set of changes: about 1,450 of them
_ROWS: Final = 40
_SLOTS: Final = 100
_MOST_LOWERED: Final = 20
_LOSSES: Final = 12_000  # characters of what is lost, so that some room is left for the changes


def plan_markdown(
    plan: Plan, *, plan_sha256: str | None, salt: str, change_hashes: Collection[str] | None = None
) -> str:
    """Return the plan, at most LIMIT characters.

    Its first line marks the comment, so that it is found and updated. If the plan can be approved, its last line holds
    what is approved: the plan's hash, and the set of its changes, if there is room for that.
    """
    groups = worst_first(plan)
    head = [_mark(plan), f"### {code(plan.stack)}: {closing_line(plan)}", ""]
    head += [code(scope_line(plan.scope)), ""] if plan.scope else []
    head += notes("Blocked", plan.blocked) + _losses(groups)
    allowed = plan.deletion_limit and plan.deletion_limit.is_allowed and (plan.deletion_limit.words,)
    head += notes("Allowed", allowed or ()) + notes("Warning", (*_lowerings(plan), *plan.warnings)) + _pools(plan)
    tail = _hash(plan, plan_sha256, change_hashes)
    room = LIMIT - sum(len(line) + 1 for line in (*head, *tail)) - 200
    told = [group for group in groups if not is_told_by_loss(group)]
    before, after = [*_deletions(plan), *_apps(plan), *_builds(plan), *_allocations(plan)], _foreign(plan)
    kept, left_out = fitting([*before, *(_group(group, salt) for group in told), *after], room)
    if left_out:
        counts = [1] * len(before) + [len(group.changes) for group in told] + [1] * len(after)
        more = sum(counts[position] for position in left_out)
        kept.append(f"… and {more} more, left out for length: `reconciler plan` shows them all.\n")
    return "\n".join([*head, *kept, *tail]).rstrip() + "\n"


def _lowerings(plan: Plan) -> list[str]:
    lines = list(lowering_lines(plan))
    more = len(lines) - _MOST_LOWERED
    return [*lines[:_MOST_LOWERED], f"{more} more rows like these: `reconciler plan` shows them"] if more > 0 else lines


def approval_line(plan_sha256: str, change_hashes: Collection[str] | None) -> str:
    """Return the last line, which `apply --expect-plan @FILE` reads.

    A set that would leave no room for the plan is left out.
    """
    text = approval_text(plan_sha256, change_hashes) if change_hashes is not None else plan_sha256
    return f"<!-- reconciler plan {text if len(text) <= _MOST_APPROVED else plan_sha256} -->"


def marker(stack: str, environment: str | None = None, *, of: str = "plan") -> str:
    """Return the comment's first line: the same for every plan of the stack.

    One spec may have the same stack in several environments.
    """
    names = [stack, *(["in", environment] if environment else [])]
    words = ("".join(one for one in name if one.isalnum() or one in "-_.") for name in names)
    return f"<!-- reconciler {of} of {' '.join(words)} -->"


def _mark(plan: Plan) -> str:
    return marker(plan.stack, plan.scope.environment if plan.scope else None)


def _losses(groups: list[Group]) -> list[str]:
    lines, counts = losses(groups)
    kept, left_out = fitting(lines, _LOSSES)
    more = sum(counts[position] for position in left_out)
    return red([*kept, f"… and {more} more machines"] if more else kept)


def _pools(plan: Plan) -> list[str]:
    """Return a table with a line for each pool, those that lose machines first."""
    columns, rows = by_pool(plan)
    if not rows:
        return []
    return pool_table(columns, ((row.pool, row.app, [row.counts[one] for one in columns]) for row in rows))


def _apps(plan: Plan) -> list[str]:
    return [f"- **+ create app** {code(app.name)} (org {code(app.org)})\n" for app in plan.apps]


def _deletions(plan: Plan) -> list[str]:
    lines = []
    for one in plan.app_deletions:
        gone = [*(f"{ip.kind} {ip.ip}" for ip in one.addresses), *(f"secret {name}" for name in one.secrets)]
        what = f", with {', '.join(map(code, gone))}" if gone else ""
        lines.append(f"- **- delete app** {code(one.app)}{what}\n")
    return lines


def _builds(plan: Plan) -> list[str]:
    return [f"- **+ build** {code(build_words(one))}\n" for one in plan.builds]


def _hash(plan: Plan, plan_sha256: str | None, change_hashes: Collection[str] | None) -> list[str]:
    """Return what is approved, and under which condition it holds after a merge."""
    if not (plan_sha256 and plan.is_reviewable):
        return []
    lines = []
    if plan.has_changes:
        words = variables_words(plan)
        note = f"> **Images:** the plan {words}; [otherwise approve the plan of the merge commit]({MERGE_LINK}).\n"
        lines = [*([note] if words else ()), f"Plan hash: `{plan_sha256}`"]
    return [*lines, "", approval_line(plan_sha256, change_hashes)]


def _allocations(plan: Plan) -> list[str]:
    return [
        f"- **+ allocate** {code(one.kind.value)} for {code(one.app)}: {code(one.reason)}\n" for one in plan.allocations
    ]


def _group(group: Group, salt: str) -> str:
    where = html_code(f"{group.first.slot.app}/{group.first.slot.pool}")
    count = "of" if group.is_settings else f"{len(group.changes)} in"
    symbol = group.symbol.replace(">", "&gt;")
    lines = [code(group.why), ""] if group.why else []
    if not group.is_settings:
        lines += [first_of([(code(name), count) for name, count in group.named], _SLOTS, joint=" "), ""]
    if group.at_once:
        lines += [code(group.at_once), ""]
    return folded(f"<b>{symbol} {group.word}</b> {count} {where}", [*lines, *_table(group.rows(salt))])


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    is_made = rows[0].before is None
    lines = ["| field | value |", "|---|---|"] if is_made else ["| field | now | then | |", "|---|---|---|---|"]
    lines += [_row(row) for row in rows[:_ROWS]]
    hidden = len(rows) - _ROWS
    return [*lines, *([f"\n… and {hidden} more fields", ""] if hidden > 0 else [""])]


def _row(row: Row) -> str:
    if row.before is None:
        return f"| {cell(row.path)} | {cell(row.after)} |"
    return f"| {cell(row.path)} | {cell(row.before)} | {cell(row.after)} | {row.by} |"


def _foreign(plan: Plan) -> list[str]:
    return [
        f"- **{SYMBOL_OF_FOREIGN} foreign** {code(f'{one.app}: {one.name}')} [{code(one.id or 'no id')}]"
        f" {one.state.value}: left alone\n"
        for one in plan.foreign
    ] + [
        f"- **{SYMBOL_OF_FOREIGN} foreign** {code(f'{one.app}: {one.kind} {one.ip}')}: not declared, left alone\n"
        for one in plan.foreign_ips
    ]
