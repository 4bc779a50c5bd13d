"""Show a plan as text: each change with its cause, field by field."""

from collections.abc import Iterator
from typing import Final

from reconciler.model.plan import Plan
from reconciler.render.closing import closing_line
from reconciler.render.redact import clean, defused
from reconciler.render.scope import scope_line
from reconciler.render.shown_changes import ShownChanges
from reconciler.render.style import SYMBOL_OF_FOREIGN, paint, painted, wrapped

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
    changes = _changes(plan, color, width, salt)
    lines = [
        *_deletions(plan, color, width),
        *changes.lost,
        *_apps(plan, color, width),
        *changes.builds,
        *_allocations(plan, color, width),
        *changes.others,
        *(_bookkeeping(plan, width) if shows_bookkeeping else ()),
        *_foreign(plan, color, width),
    ]
    lines += changes.lowered
    for warning in plan.warnings:
        lines += wrapped(f"Warning: {clean(warning)}", width, hanging=2)
    if plan.deletion_limit and plan.deletion_limit.is_allowed:
        lines += wrapped(f"Allowed: {plan.deletion_limit.words}", width, hanging=2)
    for reason in plan.blocked:
        lines += painted(wrapped(f"Blocked: {clean(reason)}", width, hanging=2), "error", color)
    if lines and is_summed_up:
        lines.append("")
    lines += changes.losses
    if is_summed_up:
        lines += wrapped(closing_line(plan), width, hanging=2)
    head = painted(wrapped(scope_line(plan.scope), width, hanging=2) if plan.scope else [], "head", color)
    # Once more for whole lines: what is harmless in the middle of one is a command where a broken line begins with it.
    return "\n".join(defused(line) for line in (*head, *lines))


def _changes(plan: Plan, color: bool, width: int | None, salt: str | None) -> ShownChanges:
    """Show what changes. The code for that is imported only if something does."""
    if not plan.effective and not plan.builds:
        return ShownChanges()
    from reconciler.render.change_lines import shown_changes

    return shown_changes(plan, color=color, width=width, salt=salt)


def _apps(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for app in plan.apps:
        yield from painted(wrapped(f"+ create app {clean(app.name)} (org {clean(app.org)})", width), "+", color)


def _allocations(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.allocations:
        line = f"+ allocate {clean(one.app)}: {one.kind}  ({clean(one.reason)})"
        yield from painted(wrapped(line, width), "+", color)


def _deletions(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.app_deletions:
        ips = [f"{address.kind} {clean(address.ip)}" for address in one.addresses]
        secrets = [f"secret {clean(name)}" for name in one.secrets]
        what = f"  (with it go: {', '.join([*ips, *secrets])})" if ips or secrets else ""
        yield from painted(wrapped(f"- delete app {clean(one.app)}{what}", width, hanging=2), "-", color)


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
        yield from painted(wrapped(line, width), SYMBOL_OF_FOREIGN, color)
