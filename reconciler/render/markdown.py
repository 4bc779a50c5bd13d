"""Show a plan as Markdown, for a comment on a pull request.

It has a summary, then folded details, and is never too long for a comment. Foreign text stands in code spans, where
neither Markdown nor HTML nor a mention means anything.
"""

from html import escape
from typing import Final

from reconciler.model.plan import Plan
from reconciler.render.changes import Group, Row, closing_line, grouped
from reconciler.render.redact import clean
from reconciler.render.scope import scope_line
from reconciler.render.style import SYMBOL_OF_FOREIGN

LIMIT: Final = 60_000  # a comment may have 65,536 characters
_SLOTS: Final = 12
_ROWS: Final = 40
_NOTES: Final = 20


def plan_markdown(plan: Plan, *, plan_sha256: str | None, salt: str) -> str:
    """Return the plan, at most LIMIT characters.

    Its first line marks the comment, so that it is found and updated.
    """
    head = [marker(plan.stack), f"### {_code(plan.stack)}: {closing_line(plan)}", ""]
    head += [_code(scope_line(plan.scope)), ""] if plan.scope else []
    allowed = plan.deletion_limit and plan.deletion_limit.is_allowed and (plan.deletion_limit.words,)
    head += _notes("Blocked", plan.blocked) + _notes("Allowed", allowed or ()) + _notes("Warning", plan.warnings)
    tail = [f"Plan hash: `{plan_sha256}`"] if plan_sha256 and plan.has_changes and plan.is_reviewable else []
    room = LIMIT - sum(len(line) + 1 for line in (*head, *tail)) - 200
    blocks, left_out = _fitting(
        [*_apps(plan), *_allocations(plan), *(_group(group, salt) for group in grouped(plan)), *_foreign(plan)], room
    )
    if left_out:
        blocks.append(f"… and {left_out} more, left out for length: `reconciler plan` shows them all.\n")
    return "\n".join([*head, *blocks, *tail]).rstrip() + "\n"


def marker(stack: str) -> str:
    """Return the comment's first line: the same for every plan of the stack."""
    return f"<!-- reconciler plan of {''.join(one for one in stack if one.isalnum() or one in '-_.')} -->"


def _notes(word: str, notes: tuple[str, ...]) -> list[str]:
    lines = [f"> **{word}:** {_code(note)}\n" for note in notes[:_NOTES]]
    return lines + ([f"> … and {len(notes) - _NOTES} more\n"] if len(notes) > _NOTES else [])


def _fitting(blocks: list[str], room: int) -> tuple[list[str], int]:
    """Return as many blocks as there is room for, and how many are left out."""
    kept: list[str] = []
    for position, block in enumerate(blocks):
        room -= len(block) + 1
        if room < 0:
            return kept, len(blocks) - position
        kept.append(block)
    return kept, 0


def _apps(plan: Plan) -> list[str]:
    return [f"- **+ create app** {_code(app.name)} (org {_code(app.org)})\n" for app in plan.apps]


def _allocations(plan: Plan) -> list[str]:
    return [
        f"- **+ allocate** {_code(one.kind.value)} for {_code(one.app)}: {_code(one.reason)}\n"
        for one in plan.allocations
    ]


def _group(group: Group, salt: str) -> str:
    slots = group.slots
    more = f" and {len(slots) - _SLOTS} more" if len(slots) > _SLOTS else ""
    where = f"{_html(group.first.slot.app)}/{_html(group.first.slot.pool)}"
    count = "of" if group.is_settings else f"{len(group.changes)} in"
    title = f"<b>{_html(f'{group.symbol} {group.word}')}</b> {count} {where}"
    lines = [f"<details><summary>{title}</summary>", "", _code(group.why), ""]
    if not group.is_settings:
        lines += [" ".join(_code(slot) for slot in slots[:_SLOTS]) + more, ""]
    if group.at_once:
        lines += [_code(group.at_once), ""]
    return "\n".join([*lines, *_table(group.rows(salt)), "</details>", ""])


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
        return f"| {_code(row.path)} | {_code(row.after)} |"
    return f"| {_code(row.path)} | {_code(row.before)} | {_code(row.after)} | {row.by} |"


def _foreign(plan: Plan) -> list[str]:
    return [
        f"- **{SYMBOL_OF_FOREIGN} foreign** {_code(f'{one.app}: {one.name}')} [{_code(one.id or 'no id')}]"
        f" {one.state.value}: left alone\n"
        for one in plan.foreign
    ] + [
        f"- **{SYMBOL_OF_FOREIGN} foreign** {_code(f'{one.app}: {one.kind} {one.ip}')}: not declared, left alone\n"
        for one in plan.foreign_ips
    ]


def _code(text: str) -> str:
    """Return a code span that no text can break out of, in tables too."""
    return f"`{clean(text).replace('`', chr(39)).replace('|', chr(92) + '|') or ' '}`"


def _html(text: str) -> str:
    return escape(clean(text)).replace("@", "&#64;")
