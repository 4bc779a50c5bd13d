"""A plan: every change between a spec and the world. Nothing is decided after it.

A saved plan is one in a file: what is shown of it, and what it is bound to. It has no secret and no env value in the
clear.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from reconciler.hidden import HidesFields
from reconciler.model.change import Action, Change, ReasonCode
from reconciler.model.ip_address import ForeignIp, IpAddress, IpKind
from reconciler.model.machine import HostStatus, MachineState
from reconciler.model.marks import MetadataWrite
from reconciler.model.revision import Revision
from reconciler.model.scope import Scope
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.shown import shown
from reconciler.model.spec import Slot


class AppCreation(Struct, frozen=True, kw_only=True):
    """An app of the spec that does not exist yet, and its organisation."""

    name: str
    org: str


class IpAllocation(Struct, frozen=True, kw_only=True):
    """An IP address that an app is to get, and why.

    `machine_id` is the machine whose lease keeps two applies from allocating it twice; None if the app has none.
    """

    app: str
    kind: IpKind
    reason: str
    code: ReasonCode
    machine_id: str | None = None

    @property
    def words(self) -> str:
        return f"{self.kind} for {self.app}"


class AppDeletion(Struct, frozen=True, kw_only=True):
    """An app that is deleted after the machines of the stack, and what goes with it.

    That is its IP addresses and the names of its secrets.
    """

    app: str
    addresses: tuple[IpAddress, ...] = ()
    secrets: tuple[str, ...] = ()


class ImageBuild(Struct, frozen=True, kw_only=True):
    """An image that changes of a plan need and that is not built yet.

    `image` names it by its content; `context` is the directory that it is built of.
    """

    app: str
    image: str
    context: str


class Announcement(Struct, frozen=True, kw_only=True):
    """What a task's anchor must say before any other slot of its pool is changed.

    It is written by itself if no update of the anchor writes it: the anchor is busy, on its way out, or as declared
    while its mark `want` still names another config. `machine_id` is None if the anchor cannot be observed, so that
    nothing can be written; `doubt` then says why, in words that follow "is".
    """

    app: str
    pool: str
    anchor: str
    machine_id: str | None
    desired_digest: str
    image_digest: str | None = None
    doubt: str = ""


class ForeignMachine(Struct, frozen=True, kw_only=True):
    """A machine in our apps that the stack does not own: listed, never touched.

    `clone_of` is the slot whose marks it carries under another name, as a clone made by hand does; "" for others.
    """

    app: str
    id: str
    name: str
    state: MachineState
    reason: str
    clone_of: str = ""


class UnreachableMachine(Struct, frozen=True, kw_only=True):
    """A machine of the stack that cannot be observed: neither changed nor made again.

    It is the stack's by its marks or its name. Its host is down, or the platform's answer is not understood: then
    `not_understood` names the members.
    """

    slot: Slot
    id: str  # "" where it is not understood
    host: str  # what the platform calls its state
    not_understood: tuple[str, ...] = ()

    @property
    def is_dark(self) -> bool:
        """Return whether its host is down."""
        return self.host != HostStatus.OK.value or not self.not_understood

    @property
    def words(self) -> str:
        if self.is_dark:
            why = f"unreachable: machine {self.id} cannot be observed (host {self.host})"
        else:
            which = f"machine {self.id}" if self.id else "a machine"
            why = f"not understood: invalid {', '.join(self.not_understood)} of {which} in the platform's list"
        return f"{self.slot.address}: {why}; left alone"


def unreachable_counts(machines: Iterable[UnreachableMachine]) -> list[str]:
    """Say how many there are: hosts that are down, then those not understood."""
    counts = Counter("unreachable" if machine.is_dark else "not understood" for machine in machines)
    return [f"{counts[word]} {word}" for word in ("unreachable", "not understood") if counts[word]]


class DeletionLimit(Struct, frozen=True, kw_only=True):
    """What a plan above the deletion limit destroys.

    It is so many `of` the stack's machines; `replaces` of them are made again. `is_allowed` says whether that many were
    allowed.
    """

    destroys: int
    of: int
    replaces: int = 0
    is_allowed: bool = False

    @property
    def words(self) -> str:
        made_again = f" ({self.replaces} of them to replace)" if self.replaces else ""
        needed = f"--allow-destroy {self.destroys}"
        told = f", with {needed}" if self.is_allowed else f": needs {needed}"
        return f"destroys {self.destroys} of {self.of}{told}{made_again}"


class Plan(HidesFields, frozen=True, kw_only=True):
    """All changes in a stable order, with what was seen beside them.

    Unchanged slots are included, as NONE or WATCH. `blocked` says why nothing may be applied: an unobserved app, the
    deletion limit. `deletion_limit` is None where the plan is not above it. `superseded_by` is the newer revision that
    was applied already, if that is why it is blocked.
    """

    stack: str
    apps: tuple[AppCreation, ...]
    changes: tuple[Change, ...]
    foreign: tuple[ForeignMachine, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    bookkeeping: Sequence[MetadataWrite] = ()  # what is left on machines at the end; neither counted nor hashed
    warnings: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    observed_at: datetime | None = None
    unreachable: tuple[UnreachableMachine, ...] = ()
    not_shown: int = 0  # slots that differ from the spec otherwise than this plan shows, which shows drift alone
    allocations: tuple[IpAllocation, ...] = ()
    foreign_ips: tuple[ForeignIp, ...] = ()
    unchanged: int = 0  # slots as declared that are counted only, as in a plan that was read from a file
    deletion_limit: DeletionLimit | None = None
    selection: Selection = WHOLE  # the part of the stack that it is of
    superseded_by: Revision | None = None
    applied_revision: Revision | None = None  # the newest one that was applied whole, if that is known
    builds: tuple[ImageBuild, ...] = ()  # neither counted nor hashed: before a build and after it the plan is the same
    image_variables: tuple[str, ...] = ()  # names of variables in the images of machines that it makes or changes
    scope: Scope | None = None  # where it holds, if that is known: it is shown, and in no hash
    app_deletions: tuple[AppDeletion, ...] = ()

    def __repr__(self) -> str:
        counts = {name: count for name, count in self.counts().items() if count}
        return shown(self, stack=self.stack, **counts, blocked=self.blocked)

    @property
    def effective(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.is_effective)

    @property
    def watched(self) -> tuple[Change, ...]:
        """Return the slots that are as declared, and whose machines do not stay up."""
        return tuple(change for change in self.changes if change.action is Action.WATCH)

    @property
    def has_changes(self) -> bool:
        return bool(self.apps or self.effective or self.allocations or self.app_deletions)

    @property
    def is_settled(self) -> bool:
        """Return whether all is as declared and up, and nothing could not be seen."""
        return not self.has_changes and not self.unreachable and not self.watched

    @property
    def is_reviewable(self) -> bool:
        """Return whether it can be saved and approved.

        It is, if nothing blocks it, or if it only lacks the allowance for what it destroys.
        """
        limit = self.deletion_limit
        return not self.blocked or bool(limit and not limit.is_allowed and len(self.blocked) == 1)

    def counts(self) -> Mapping[str, int]:
        """Count the changes of each action that are to be done now; `deferred` ones wait."""
        counts = {action.value: 0 for action in Action}
        counts["deferred"] = 0
        counts["unreachable"] = len(self.unreachable)
        counts[Action.NONE.value] = self.unchanged
        for change in self.changes:
            counts["deferred" if change.deferred else change.action.value] += 1
        return counts


class SavedPlan(Struct, frozen=True, kw_only=True):
    """A plan that was written to a file and read again.

    `plan` has the changes with what they are bound to (machine, digests), the values of its fields masked. The target
    and the spec must be those of the apply, and `scheme` must be that of its digests. `selection`, `app`, `adopt`,
    `prune_clones` and `allow_destroy` are how it was asked for; `images` are the digests that the images' tags had, by
    their references as written. `change_hashes` is the set that was approved, None in a file of an earlier version.
    """

    plan: Plan
    plan_sha256: str
    spec_sha256: str
    tool_version: str
    scheme: str
    target: str
    selection: Selection = WHOLE
    app: str | None = None
    adopt: bool = False
    prune_clones: bool = False
    allow_destroy: int | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    change_hashes: frozenset[str] | None = None

    @property
    def environment(self) -> str | None:
        """Return the environment that its spec was read for; None if there is none.

        Plans saved by early versions do not say it.
        """
        return self.plan.scope.environment if self.plan.scope else None
