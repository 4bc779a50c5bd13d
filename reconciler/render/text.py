"""Show a plan as text: each change with its cause, field by field."""

from collections.abc import Iterator
from typing import Final

from reconciler.model.plan import Plan
from reconciler.render.changes import Group, Row, closing_line
from reconciler.render.images import build_words
from reconciler.render.lowerings import lowering_lines
from reconciler.render.pools import is_loss, loss_words, worst_first
from reconciler.render.redact import clean, defused
from reconciler.render.scope import scope_line
from reconciler.render.style import SYMBOL_OF_FOREIGN, paint, paint_words, wrapped
from reconciler.render.words import Words

_FOREIGN_SHOWN: Final = 20


def plan_text(
    plan: Plan,
    *,
    color: bool = False,
    width: int | None = None,
    salt: str | None,
    shows_bookkeeping: bool = False,
    is_summed_up: bool = True,
) -> str:
    """Show where it holds, changes, foreign machines, warnings, and a closing line.

    Changes that are alike stand together, the worst first. Without a `width` no line is wrapped; without a `salt` no
    value is masked. `shows_bookkeeping` adds the marks that an apply leaves on machines beside their configs. Without
    `is_summed_up` the closing line is left out.
    """
    groups = worst_first(plan)
    lost = [group for group in groups if is_loss(group.first)]
    lines = [
        *_deletions(plan, color, width),
        *(line for group in lost for line in _group(group, color, width, salt)),
        *_apps(plan, color, width),
        *_builds(plan, color, width),
        *_allocations(plan, color, width),
        *(line for group in groups[len(lost) :] for line in _group(group, color, width, salt)),
        *(_bookkeeping(plan, width) if shows_bookkeeping else ()),
        *_foreign(plan, color, width),
    ]
    for lowered in lowering_lines(plan):
        lines += _painted(wrapped(f"Warning: {lowered}", width, hanging=2), "-", color)
    for warning in plan.warnings:
        lines += wrapped(f"Warning: {clean(warning)}", width, hanging=2)
    if plan.deletion_limit and plan.deletion_limit.is_allowed:
        lines += wrapped(f"Allowed: {plan.deletion_limit.words}", width, hanging=2)
    for reason in plan.blocked:
        lines += _painted(wrapped(f"Blocked: {clean(reason)}", width, hanging=2), "error", color)
    if lines and is_summed_up:
        lines.append("")
    lines += _losses(plan, color, width)
    if is_summed_up:
        lines += wrapped(closing_line(plan), width, hanging=2)
    head = _painted(wrapped(scope_line(plan.scope), width, hanging=2) if plan.scope else [], "head", color)
    # Once more for whole lines: what is harmless in the middle of one is a command where a broken line begins with it.
    return "\n".join(defused(line) for line in (*head, *lines))


def _losses(plan: Plan, color: bool, width: int | None) -> list[str]:
    """Name what is lost, where it stands among other changes and may be overlooked."""
    words = loss_words(plan)
    others = [change for change in plan.effective if not is_loss(change)]
    return _painted(wrapped(words, width, hanging=2), "-", color) if words and others else []


def _apps(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for app in plan.apps:
        yield from _painted(wrapped(f"+ create app {clean(app.name)} (org {clean(app.org)})", width), "+", color)


def _builds(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.builds:
        yield from _painted(wrapped(f"+ build {build_words(one)}", width), "+", color)


def _allocations(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.allocations:
        line = f"+ allocate {clean(one.app)}: {one.kind}  ({clean(one.reason)})"
        yield from _painted(wrapped(line, width), "+", color)


def _deletions(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.app_deletions:
        ips = [f"{address.kind} {clean(address.ip)}" for address in one.addresses]
        secrets = [f"secret {clean(name)}" for name in one.secrets]
        what = f"  (with it go: {', '.join([*ips, *secrets])})" if ips or secrets else ""
        yield from _painted(wrapped(f"- delete app {clean(one.app)}{what}", width, hanging=2), "-", color)


def _group(group: Group, color: bool, width: int | None, salt: str | None) -> Iterator[str]:
    head = f"{group.symbol} {group.word} {clean(group.first.slot.app)}:"
    first, *more = wrapped(f"{head} {', '.join(group.slots)}{f'  ({group.why})' if group.why else ''}", width)
    yield paint(head, group.symbol, color=color) + first.removeprefix(head)
    yield from more
    if group.at_once:
        yield from wrapped(group.at_once, width, indent=6)
    for row in group.rows(salt):
        yield from wrapped(_row(row, color), width, indent=6)


def _row(row: Row, color: bool) -> str:
    if row.words:
        values = "".join(_word(one, color) for one in row.words)
    else:
        values = row.after if row.before is None else f"{row.before} -> {row.after}"
    return f"{row.path}: {values}{f'  # {row.by}' if row.by else ''}"


def _word(one: Words, color: bool) -> str:
    """Return words of a value; those that change are coloured, else in brackets."""
    match one.sign:
        case "-":
            return paint_words(one.text, "-word") if color else f"[-{one.text}-]"
        case "+":
            return paint_words(one.text, "+word") if color else f"{{+{one.text}+}}"
        case _:
            return one.text


def _bookkeeping(plan: Plan, width: int | None) -> Iterator[str]:
    for write in plan.bookkeeping:
        marks = ", ".join(f"{key}={value}" if value else f"{key} removed" for key, value in write.marks.items())
        yield from wrapped(f"  marks {clean(write.app)}: {clean(write.name)}  {clean(marks)}", width, hanging=6)


def _foreign(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for machine in plan.foreign[:_FOREIGN_SHOWN]:
        head = f"{SYMBOL_OF_FOREIGN} foreign {clean(machine.app)}:"
        what = f"{clean(machine.name)} [{clean(machine.id) or 'no id'}] {machine.state.value}"
        first, *more = wrapped(f"{head} {what}  ({clean(machine.reason)}; left alone)", width)
        yield paint(head, SYMBOL_OF_FOREIGN, color=color) + first.removeprefix(head)
        yield from more
    if (hidden := len(plan.foreign) - _FOREIGN_SHOWN) > 0:
        yield f"{SYMBOL_OF_FOREIGN} and {hidden} more foreign machines; -o json lists them all"
    for one in plan.foreign_ips:
        line = f"{SYMBOL_OF_FOREIGN} foreign {clean(one.app)}: {one.kind} {clean(one.ip)}  (not declared; left alone)"
        yield from _painted(wrapped(line, width), SYMBOL_OF_FOREIGN, color)


def _painted(lines: list[str], symbol: str, color: bool) -> list[str]:
    return [paint(line, symbol, color=color) for line in lines]
