"""Changes, and how they end, by number."""

from reconciler.model.change import Action, Change
from reconciler.model.report import Entry, Status
from reconciler.model.spec import PoolKind, Slot


def change(number: int, action: Action = Action.CREATE, *, app: str = "app", deferred: str | None = None) -> Change:
    slot = Slot(app=app, pool="work", region="iad", number=number)
    return Change(slot=slot, kind=PoolKind.TASK, action=action, reason="", deferred=deferred)


def ended(number: int, action: Action = Action.CREATE, *, app: str = "app", status: Status = Status.DONE) -> Entry:
    slot = Slot(app=app, pool="work", region="iad", number=number)
    return Entry(slot=slot, action=action, status=status, address=slot.address)
