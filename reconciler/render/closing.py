"""Sum up a plan in its last line, and name what happens to a slot."""

from collections import Counter
from typing import Final

from reconciler.model.change import Action, Change
from reconciler.model.counted import counted
from reconciler.model.plan import Plan, unreachable_counts

_WORDS: Final = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.DESTROY: "destroy",
    Action.ADOPT: "adopt",
    Action.START: "start",
    Action.RELEASE: "release",
    Action.SETTINGS: "settings",
}
_ADOPT_AND_CHANGE: Final = "adopt and change"
_ALWAYS_COUNTED: Final = frozenset({"create", "update", "replace", "destroy"})
_COUNTED: Final = (
    *("create", "update", "replace", "destroy"),
    *("adopt", _ADOPT_AND_CHANGE, "start", "release"),
)


def word_of(change: Change) -> str:
    """Return what happens to the change's slot, in a word or two."""
    return _ADOPT_AND_CHANGE if change.action is Action.ADOPT and change.fields else _WORDS[change.action]


def closing_line(plan: Plan) -> str:
    """Sum up the plan in one line."""
    counts = plan.counts()
    watched = counts[Action.WATCH.value]
    down = f", {watched} of them {'does' if watched == 1 else 'do'} not stay up" if watched else ""
    unchanged = counts[Action.NONE.value] + watched
    dark = unreachable_counts(plan.unreachable)
    if plan.blocked and not plan.has_changes:
        return "Nothing is applied while that stands."
    if not plan.has_changes:
        declared = f"{unchanged} machine{' is' if unchanged == 1 else 's are'} as declared{down}"
        seen = ", ".join([declared, *dark])
        return f"No drift. {seen}; {_not_shown(plan.not_shown)}" if plan.not_shown else f"No changes. {seen}."
    by_word = Counter(word_of(change) for change in plan.effective if not change.deferred)
    parts = [f"{by_word[word]} to {word}" for word in _COUNTED if by_word[word] or word in _ALWAYS_COUNTED]
    if settings := counts[Action.SETTINGS.value]:
        parts.append(f"the settings of {counted(settings, 'pool')} to change")
    if count := len(plan.allocations):
        parts.append(f"{count} IP address{'' if count == 1 else 'es'} to allocate")
    if count := len(plan.app_deletions):
        parts.append(f"{counted(count, 'app')} to delete")
    if counts["deferred"]:
        parts.append(f"{counts['deferred']} deferred")
    parts += dark
    line = f"Plan: {', '.join(parts)}." + (f" {unchanged} unchanged{down}." if unchanged else "")
    line += f" Beside drift, {_not_shown(plan.not_shown)}" if plan.not_shown else ""
    return line + (" Nothing of it is applied while it is blocked." if plan.blocked else "")


def _not_shown(count: int) -> str:
    return f"{count} slot{' differs' if count == 1 else 's differ'} from the spec: `reconciler plan` shows how."
