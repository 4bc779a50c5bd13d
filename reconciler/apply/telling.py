"""Tell how changes end: a line each, or one for a range of many that are alike.

Alike are changes of one pool with one action. What failed, was deferred or is unknown has a line of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from reconciler.model.apply_event import ApplyEventType
from reconciler.model.change import Action, Change
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.spec import Slot
from reconciler.render.ranges import FEW, ranges_of
from reconciler.slots.context import Context, Emit

_Kind: TypeAlias = tuple[str, str, Action]
"""Of changes that are alike: app, pool and action."""

_WORDS: Final = {
    Status.DONE: " done",
    Status.FAILED: " failed",
    Status.SKIPPED: " skipped",
    Status.DEFERRED: " deferred",
    Status.UNKNOWN: ": outcome unknown",
}


class _End(NamedTuple):
    """How some changes ended, in words."""

    word: str
    detail: str

    @property
    def why(self) -> str:
        return f": {self.detail}" if self.detail else ""


class Teller:
    """Tells of the changes of one apply."""

    def __init__(self, changes: Iterable[Change], context: Context) -> None:
        self._context = context
        kinds = Counter((change.slot.app, change.slot.pool, change.action) for change in changes)
        self._open = {kind: count for kind, count in kinds.items() if count > FEW}
        self._held: dict[_Kind, dict[_End, list[Slot]]] = {kind: defaultdict(list) for kind in self._open}
        self._said: dict[_Kind, set[str]] = {kind: set() for kind in self._open}

    def begin(self, change: Change) -> None:
        """Tell that a change has begun."""
        self._context.tell(ApplyEventType.STARTED, change)

    def take(self, ended: Entry) -> None:
        """Tell how a change has ended; in words, perhaps once all that are like it have."""
        tell_end(self._context, ended)
        kind, end = (ended.slot.app, ended.slot.pool, ended.action), _end(ended)
        is_one_of_many = kind in self._open
        if is_one_of_many:
            self._open[kind] -= 1
        if is_one_of_many and ended.status in {Status.DONE, Status.SKIPPED} and ended.address == ended.slot.address:
            self._held[kind][end].append(ended.slot)
        else:
            self._context.emit(_line(ended.address, ended.action, end))
        if is_one_of_many and self._open[kind] == 0:
            self._tell(kind)

    def explain(self, error: Exception) -> str:
        """Return what went wrong, in words."""
        return self._context.explain(error)

    def finish(self) -> None:
        """Tell what is still kept, since nothing more ends."""
        for kind in self._open:
            self._tell(kind)

    def context_of(self, change: Change) -> Context:
        """Return the context to make the change in.

        Where many are alike it tells only once what all of them say on their way.
        """
        said = self._said.get((change.slot.app, change.slot.pool, change.action))
        return self._context if said is None else replace(self._context, emit=self._once(change.slot, said))

    def _once(self, slot: Slot, said: set[str]) -> Emit:
        def emit(line: str) -> None:
            words = line.removeprefix(slot.address)
            if words not in said:
                said.add(words)
                self._context.emit(line)

        return emit

    def _tell(self, kind: _Kind) -> None:
        held, self._held[kind] = self._held[kind], defaultdict(list)
        action = kind[2]
        for end, slots in held.items():
            for found in ranges_of(slots):
                if found.size == 1:
                    self._context.emit(_line(found.address, action, end))
                else:
                    self._context.emit(f"{found.address}: {found.size}{end.word} ({action.value}){end.why}")


def tell_end(context: Context, ended: Entry) -> None:
    """Tell of the end of a change as an event, and what a service printed last.

    If another apply was there first, the slot is planned again: that is no failure yet.
    """
    if ended.reason is Reason.OVERTAKEN:
        ended = replace(ended, status=Status.SKIPPED)
    context.tell(ApplyEventType(ended.status.value), ended)
    if ended.status is Status.FAILED and ended.unhealthy and ended.unhealthy.log:
        context.tell(ApplyEventType.LOG, ended)


def _line(address: str, action: Action, end: _End) -> str:
    return f"{address}: {action.value}{end.word}{end.why}"


def _end(ended: Entry) -> _End:
    is_put_off = ended.reason is Reason.OVERTAKEN and ended.status in {Status.FAILED, Status.SKIPPED}
    return _End(" put off" if is_put_off else _WORDS[ended.status], ended.detail)
