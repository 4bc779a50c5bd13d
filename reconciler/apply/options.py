"""How an apply behaves."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct, field

from reconciler.model.plan_notes import PlanNotes
from reconciler.model.revision import Revision
from reconciler.model.selection import WHOLE, Selection
from reconciler.slots.wait import SETTLE_TIMEOUT_S

DEFAULT_PARALLELISM: Final = 10
DEFAULT_LOCK_TIMEOUT_S: Final = 60.0


class Patience(NamedTuple):
    """How long to wait for machines that are not at rest, and until when (monotonic)."""

    limit_s: float
    until: float


class Options(Struct, frozen=True, kw_only=True):
    """How an apply behaves.

    `selection` is what the plan was made of; `force` ends running tasks that are to be destroyed. `lock_timeout_s`
    bounds the wait for someone else's lease, `parallelism` the changes under way at once. With `is_failing_fast`
    nothing new begins after a failure. A machine that a newer `revision` was applied to is left alone, unless
    `allow_rollback`. `plan_sha256` is the hash of a plan that was reviewed, to be remembered. With `only_drift` the
    plan holds only what someone else changed, and nothing else of the spec is made true. The leases that are taken name
    `verb` as their holder's command. `patience` is the user's own limit, for all machines that settle: without it each
    has the time that the platform may need. `reviewed_versions` are those of the machines of a saved plan, by id: a
    machine that was changed and changed back since then is left alone. `notes` are what is noted on machines of a plan
    that was reviewed. `last_to_go` is the address of the change whose machine holds them, if no machine is left
    standing.
    """

    selection: Selection = WHOLE
    parallelism: int = DEFAULT_PARALLELISM
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    force: bool = False
    is_failing_fast: bool = False
    revision: Revision | None = None
    allow_rollback: bool = False
    plan_sha256: str | None = None
    only_drift: bool = False
    verb: str = "apply"
    patience: Patience | None = None
    reviewed_versions: Mapping[str, str] = field(default_factory=dict)
    notes: PlanNotes | None = None
    last_to_go: str | None = None

    def patience_from(self, now: float) -> Patience:
        """Return the patience with a machine that is waited for from `now` on."""
        own = Patience(SETTLE_TIMEOUT_S, until=now + SETTLE_TIMEOUT_S)
        return self.patience if self.patience and self.patience.until < own.until else own
