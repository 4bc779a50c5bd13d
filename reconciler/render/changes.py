"""Word a plan's changes for people: what happens, why, to which fields."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from reconciler.model.change import Action, Cause, Change, FieldChange, ReasonCode
from reconciler.model.marks import LOCAL_CONTEXT
from reconciler.model.plan import Plan
from reconciler.model.run_policy import ARGS_PLACE, OVERRIDES_ARGS
from reconciler.render.closing import word_of
from reconciler.render.redact import clean, hidden, shown
from reconciler.render.words import Words, changed_words, side_of

_SYMBOLS: Final = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DESTROY: "-",
    Action.ADOPT: "+~",
    Action.START: ">",
    Action.RELEASE: "<",
    Action.SETTINGS: "~",
    Action.WATCH: " ",
    Action.NONE: " ",
}
_SYMBOL_OF_DEFERRED: Final = "="
_BY: Final = {
    Cause.SPEC: "",
    Cause.DRIFT: "changed by someone else",
    Cause.IMAGE: "the image moved",
    Cause.BOTH: "the spec, and someone else",
}
_SHORTEST_RANGE: Final = 4
_SAY_NOTHING: Final = frozenset({ReasonCode.MISSING, ReasonCode.DESTROY})  # the action says as much
_COMPARED: Final = 20_000  # characters of a value whose changed words are looked for


class Row(Struct, frozen=True, kw_only=True):
    """One field, spelled and masked as it is shown.

    `before` is None if the machine does not exist yet. `words` are those of both values, if some of them stay.
    """

    path: str
    before: str | None
    after: str
    cause: Cause = Cause.SPEC
    words: tuple[Words, ...] = ()

    @property
    def by(self) -> str:
        """Say who made the field differ, if it was not the spec alone."""
        return _BY[self.cause]


class Group(Struct, frozen=True):
    """Changes that are equal but for the slot; a settings change is always alone."""

    changes: tuple[Change, ...]

    @property
    def first(self) -> Change:
        return self.changes[0]

    @property
    def is_settings(self) -> bool:
        return self.first.action is Action.SETTINGS

    @property
    def symbol(self) -> str:
        return _SYMBOL_OF_DEFERRED if self.first.deferred else _SYMBOLS[self.first.action]

    @property
    def word(self) -> str:
        """Say what happens, in a word or two."""
        word = word_of(self.first)
        return f"deferred {word}" if self.first.deferred else word

    @property
    def why(self) -> str:
        """Say why, and what the change waits for; empty if the action says it all."""
        reason = "" if self.first.code in _SAY_NOTHING else clean(self.first.reason)
        waits = clean(self.first.deferred) if self.first.deferred else ""
        return f"{waits}; then {reason}" if waits and reason else waits or reason

    @property
    def at_once(self) -> str | None:
        """Say that the change runs the command, and why; None if it does not."""
        if not self.first.runs_at_once:
            return None
        schedule = self.first.desired.config.schedule if self.first.desired else None
        return f"its command is run at once ({f'schedule: {clean(schedule)}' if schedule else 'launch: true'})"

    @property
    def slots(self) -> list[str]:
        """List the slots' names; four or more in a row are shown as one range.

        For settings it is the name of the pool.
        """
        return [name for name, _count in self.named]

    @property
    def named(self) -> list[tuple[str, int]]:
        """List the same names, and for how many slots each stands."""
        if self.is_settings:
            return [(self.first.slot.pool, 1)]
        names: list[tuple[str, int]] = []
        for run in _in_a_row(self.changes):
            if len(run) >= _SHORTEST_RANGE:
                names.append((f"{run[0].slot.name}…{run[-1].slot.number}", len(run)))
            else:
                names += [
                    (clean(one.name) + (f" [{clean(one.machine_id or '')}]" if one.is_alone else ""), 1) for one in run
                ]
        return names

    def rows(self, salt: str | None) -> list[Row]:
        """Return what changes field by field; of a new machine its whole config."""
        if self.first.action is Action.CREATE and self.first.desired:
            return [Row(path=clean(key), before=None, after=text) for key, text in _made_of(self.first, salt)]
        return [_row(field, salt) for field in self.first.fields]


def grouped(plan: Plan) -> list[Group]:
    """Group changes that are alike, in the order of the first of each group."""
    groups: dict[Any, list[Change]] = {}
    for change in plan.effective:
        where = (change.slot.app, change.slot.pool, change.is_alone)
        key = (*where, change.action, change.reason, change.deferred, repr(_values(change)))
        groups.setdefault(key, []).append(change)
    return [Group(tuple(changes)) for changes in groups.values()]


def _values(change: Change) -> list[tuple[object, ...]]:
    """Return all values of the fields, secrets too. The repr of a field hides them."""
    return [(field.path, field.observed, field.desired, field.cause, field.is_secret) for field in change.fields]


def as_declared(field: FieldChange) -> tuple[Any, Any]:
    """Return the field's values before and after, as in a spec.

    The place where args begin is shown only if it changes.
    """
    values = field.observed, field.desired
    has_place = [isinstance(value, str) and value.startswith(ARGS_PLACE) for value in values]
    if field.path != OVERRIDES_ARGS or all(has_place):
        return values
    return has_place[0] or field.observed, has_place[1] or field.desired


def _row(field: FieldChange, salt: str | None) -> Row:
    values = as_declared(field)
    before, after = (shown(value, is_secret=field.is_secret, salt=salt) for value in values)
    words = () if field.is_secret and salt is not None else _words(values, salt)
    if words:
        before, after = side_of(words, "-"), side_of(words, "+")
    return Row(path=clean(field.path), before=before, after=after, cause=field.cause, words=words)


def _words(values: tuple[Any, Any], salt: str | None) -> tuple[Words, ...]:
    if not all(isinstance(one, list | dict) or (isinstance(one, str) and " " in one) for one in values):
        return ()
    return changed_words(*(shown(value, salt=salt, limit=_COMPARED) for value in values))


def _made_of(change: Change, salt: str | None) -> Iterator[tuple[str, str]]:
    assert change.desired is not None
    document = change.desired.config.document
    for section in sorted(document):
        value = document[section]
        if section == "metadata" and isinstance(value, dict):
            value = {key: member for key, member in value.items() if key != LOCAL_CONTEXT}  # no field of the spec
        if section == "env" and isinstance(value, dict) and salt is not None:
            yield section, clean(", ".join(value))  # of a value that is new a digest would tell nothing
        elif section == "init" and isinstance(value, dict):
            yield from ((f"init.{key}", shown(member, salt=salt)) for key, member in sorted(value.items()))
        elif isinstance(value, dict) and value and not any(isinstance(one, dict | list) for one in value.values()):
            known = hidden(value, salt)
            yield section, clean(", ".join(f"{key} {known[key]}" for key in sorted(known)))
        elif value not in (None, {}, []):
            yield section, shown(value, salt=salt)


def _in_a_row(changes: tuple[Change, ...]) -> Iterator[list[Change]]:
    """Split changes by region, and where slot numbers do not go up or down by one."""
    run: list[Change] = []
    for change in sorted(changes, key=lambda one: one.slot.region):
        if run and not _continues(run, change):
            yield run
            run = []
        run.append(change)
    if run:
        yield run


def _continues(run: list[Change], change: Change) -> bool:
    last = run[-1].slot
    step = change.slot.number - last.number
    is_steady = len(run) < 2 or step == last.number - run[-2].slot.number
    return (
        change.slot.region == last.region
        and abs(step) == 1
        and is_steady
        and not (change.is_alone or change.slot.given or last.given)
    )
