"""What an apply did: one entry for each change, and what was read back."""

import enum
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field

from reconciler.hidden import HidesFields
from reconciler.model.change import Action
from reconciler.model.ip_address import IpKind
from reconciler.model.machine import Check, Exit
from reconciler.model.plan import Plan, UnreachableMachine
from reconciler.model.revision import Revision
from reconciler.model.shown import shown
from reconciler.model.spec import Slot


class Status(enum.StrEnum):
    """How one change ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # something that it depends on failed, or the apply was interrupted before it
    DEFERRED = "deferred"  # a run is in progress on the machine
    UNKNOWN = "unknown"  # a write was sent and its effect could not be learnt


class Reason(enum.StrEnum):
    """What kept a change from being made, if the next step depends on it."""

    RUN = "run"  # a run is in progress on the machine
    LOCK = "lock"  # someone else held a machine's lease for longer than the apply waits
    OVERTAKEN = "overtaken"  # another apply was there first: the slot is to be planned again
    SUPERSEDED = "superseded"  # a newer revision was applied to the machine, so this one is not


class Unhealthy(Struct, frozen=True, kw_only=True):
    """Why a changed service is not up, in words, and what else is known.

    `ended` is the exit that nobody asked for, if there was one; `restarts` counts how often it was started again; `log`
    is the end of what the machine has printed since the change, as the platform tells it.
    """

    why: str
    ended: Exit | None = None
    restarts: int = 0
    failing: tuple[Check, ...] = ()
    log: tuple[str, ...] = ()


class Entry(HidesFields, frozen=True, kw_only=True):
    """How one change ended.

    `detail` says why, in words; `machine_id` is the machine that now holds the slot.
    """

    slot: Slot
    action: Action
    status: Status
    detail: str = ""
    reason: Reason | None = None
    machine_id: str | None = None
    address: str = ""  # of the change
    unhealthy: Unhealthy | None = None  # where a service was changed and did not stay up

    def __repr__(self) -> str:
        return shown(self, address=self.address, action=self.action, status=self.status, detail=self.detail)

    @property
    def app(self) -> str:
        return self.slot.app

    @property
    def name(self) -> str:
        """Return its address without the app: the slot's name, and of a clone its id too."""
        return self.address.removeprefix(f"{self.app}/") or self.slot.name


class IpEntry(Struct, frozen=True, kw_only=True):
    """How the allocation of one IP address ended. `ip` is set if the app has it."""

    app: str
    kind: IpKind
    status: Status
    detail: str = ""
    ip: str | None = None


class AppEntry(Struct, frozen=True, kw_only=True):
    """How the deletion of one app ended."""

    app: str
    status: Status
    detail: str = ""


class Report(HidesFields, frozen=True, kw_only=True):
    """How an apply ended.

    `mismatches` is what the read afterwards found different from what was applied.
    """

    plan: Plan
    entries: tuple[Entry, ...]
    apps_created: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    unreachable: tuple[UnreachableMachine, ...] = ()  # whether these are as declared cannot be seen
    failures: tuple[str, ...] = ()  # what failed beside the slots: an app not created, a mark not written
    allocations: tuple[IpEntry, ...] = ()
    urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by app with public ports: where it is called
    superseded_by: Revision | None = None  # a newer revision, so that nothing, or nothing more, was begun
    is_nothing_left: bool = False  # of the plan that was reviewed: all of it was done before
    app_deletions: tuple[AppEntry, ...] = ()
    interrupted: bool = False
    duration_s: float = 0.0

    def __repr__(self) -> str:
        counts = Counter(entry.status.value for entry in self.entries)
        return shown(self, stack=self.plan.stack, is_success=self.is_success, **counts, failures=self.failures)

    @property
    def is_success(self) -> bool:
        """Return whether everything is done and was read back as such.

        Deferred slots are no failure, unreachable ones are. What is left to a newer revision
        is none either, whatever cannot be observed of it.
        """
        return self.is_on_course and (self.superseded_by is not None or not self.unreachable)

    @property
    def is_on_course(self) -> bool:
        """Return whether nothing failed, so that what was deferred can follow."""
        fine = {Status.DONE, Status.DEFERRED} | ({Status.SKIPPED} if self.superseded_by else set())
        ends = {one.status for one in self.entries} | {one.status for one in self.allocations}
        ends |= {one.status for one in self.app_deletions}
        return not self.interrupted and not self.mismatches and not self.failures and fine >= ends
