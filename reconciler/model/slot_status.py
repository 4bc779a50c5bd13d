"""The state of a slot, or of a machine without one, as `status` tells it."""

from datetime import datetime

from msgspec import Struct

from reconciler.model.machine import Check


class SlotStatus(Struct, frozen=True, kw_only=True):
    """One slot, or one machine without a slot.

    `kind` is task or service, empty if that is not known. `restarts` since its last start or change, as far as its
    events reach; `failing` are the checks that do not pass. `lock` says who has its lease and until when; None if
    nobody has, or if the server does not list leases. `is_declared` says that the spec has the slot. `differs` is
    `drift` if someone else changed the machine since it was applied, `spec` if the spec changed since.
    """

    app: str
    pool: str
    kind: str
    slot: str
    machine_id: str | None
    state: str
    since: datetime | None
    last_outcome: str | None
    last_ended: datetime | None
    note: str
    restarts: int = 0
    failing: tuple[Check, ...] = ()
    lock: str | None = None
    region: str = ""
    is_declared: bool = True
    differs: str = ""
