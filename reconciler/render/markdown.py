"""A plan as Markdown, for a comment on a pull request: the summary first, details folded, never too long for one.

Whatever comes from elsewhere stands in code spans, where neither Markdown nor HTML nor a mention means anything.
"""

from html import escape
from typing import Final

from reconciler.model.plan import Cause, Change, FieldChange, Plan
from reconciler.render.plan import SYMBOLS_OF_DEFERRED, closing_line, grouped, why_of, word_of
from reconciler.render.style import SYMBOLS, clean, shown

LIMIT: Final = 60_000  # a comment may have 65,536 characters
_SLOTS: Final = 12
_FIELDS: Final = 40


def plan_markdown(plan: Plan, *, plan_sha256: str | None, salt: str) -> str:
    """The plan, at most LIMIT characters. Its first line marks the comment, so that it is found and updated."""
    head = [marker(plan.stack), f"### {_code(plan.stack)}: {closing_line(plan)}", ""]
    head += [f"> **Blocked:** {_code(reason)}\n" for reason in plan.blocked[:20]]
    head += [f"> **Warning:** {_code(warning)}\n" for warning in plan.warnings[:20]]
    tail = [f"Plan hash: `{plan_sha256}`"] if plan_sha256 and plan.has_changes and not plan.blocked else []
    room = LIMIT - sum(len(line) + 1 for line in (*head, *tail)) - 200
    blocks, left_out = _fitting([*_apps(plan), *_changes(plan, salt), *_foreign(plan)], room)
    if left_out:
        blocks.append(f"… and {left_out} more, left out for length: `reconciler plan` shows them all.\n")
    return "\n".join([*head, *blocks, *tail]).rstrip() + "\n"


def marker(stack: str) -> str:
    """The comment's first line: the same for every plan of the stack."""
    return f"<!-- reconciler plan of {''.join(one for one in stack if one.isalnum() or one in '-_.')} -->"


def _fitting(blocks: list[str], room: int) -> tuple[list[str], int]:
    """As many blocks as there is room for, and how many are left out."""
    kept: list[str] = []
    for position, block in enumerate(blocks):
        room -= len(block) + 1
        if room < 0:
            return kept, len(blocks) - position
        kept.append(block)
    return kept, 0


def _apps(plan: Plan) -> list[str]:
    return [f"- **+ create app** {_code(app.name)} (org {_code(app.org)})\n" for app in plan.apps]


def _changes(plan: Plan, salt: str) -> list[str]:
    return [_change(group, salt) for group in grouped(plan.effective)]


def _change(group: list[Change], salt: str) -> str:
    first = group[0]
    symbol = SYMBOLS_OF_DEFERRED if first.deferred else SYMBOLS[first.action]
    slots = " ".join(_code(change.slot.name) for change in group[:_SLOTS])
    more = f" and {len(group) - _SLOTS} more" if len(group) > _SLOTS else ""
    where = f"{_html(first.slot.app)}/{_html(first.slot.pool)}"
    title = f"<b>{_html(f'{symbol} {word_of(first)}')}</b> {len(group)} in {where}"
    lines = [f"<details><summary>{title}</summary>", "", f"{_code(why_of(first))}", "", f"{slots}{more}", ""]
    if first.runs_at_once:
        lines += ["Its command is run at once.", ""]
    if first.fields:
        lines += ["| field | now | then | |", "|---|---|---|---|"]
        lines += [_row(field, salt) for field in first.fields[:_FIELDS]]
        hidden = len(first.fields) - _FIELDS
        lines += [f"\n… and {hidden} more fields", ""] if hidden > 0 else [""]
    return "\n".join([*lines, "</details>", ""])


def _row(field: FieldChange, salt: str) -> str:
    before = _code(shown(field.observed, is_secret=field.is_secret, salt=salt))
    after = _code(shown(field.desired, is_secret=field.is_secret, salt=salt))
    cause = "changed by someone else" if field.cause is Cause.DRIFT else ""
    return f"| {_code(field.path)} | {before} | {after} | {cause} |"


def _foreign(plan: Plan) -> list[str]:
    return [
        f"- **! foreign** {_code(f'{one.app}: {one.name}')} [{_code(one.id)}] {one.state.value}: left alone\n"
        for one in plan.foreign
    ]


def _code(text: str) -> str:
    """A code span that nothing breaks out of, in tables too."""
    return f"`{clean(text).replace('`', chr(39)).replace('|', chr(92) + '|') or ' '}`"


def _html(text: str) -> str:
    return escape(clean(text)).replace("@", "&#64;")
