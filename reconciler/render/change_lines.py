"""Show the changes of a plan as lines of text.

Equal changes of several slots share their lines.
"""

from collections.abc import Iterator

from reconciler.model.plan import Plan
from reconciler.render.changes import Group, Row
from reconciler.render.images import build_words
from reconciler.render.lowerings import lowering_lines
from reconciler.render.pools import is_loss, loss_words, worst_first
from reconciler.render.redact import clean
from reconciler.render.shown_changes import ShownChanges
from reconciler.render.style import paint, paint_words, painted, wrapped
from reconciler.render.words import Words


def shown_changes(plan: Plan, *, color: bool, width: int | None, salt: str | None) -> ShownChanges:
    """Show the changes, the worst first; without a `salt` no value is masked."""
    groups = worst_first(plan)
    lost = [group for group in groups if is_loss(group.first)]
    lowered = (wrapped(f"Warning: {one}", width, hanging=2) for one in lowering_lines(plan))
    return ShownChanges(
        lost=tuple(line for group in lost for line in _group(group, color, width, salt)),
        builds=tuple(_builds(plan, color, width)),
        others=tuple(line for group in groups[len(lost) :] for line in _group(group, color, width, salt)),
        lowered=tuple(line for lines in lowered for line in painted(lines, "-", color)),
        losses=tuple(_losses(plan, color, width)),
    )


def _losses(plan: Plan, color: bool, width: int | None) -> list[str]:
    """Name what is lost, where it stands among other changes and may be overlooked."""
    words = loss_words(plan)
    others = [change for change in plan.effective if not is_loss(change)]
    return painted(wrapped(words, width, hanging=2), "-", color) if words and others else []


def _builds(plan: Plan, color: bool, width: int | None) -> Iterator[str]:
    for one in plan.builds:
        yield from painted(wrapped(f"+ build {build_words(one)}", width), "+", color)


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
