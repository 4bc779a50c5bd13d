"""A change: what happens to one slot, or to the settings of its pool, and why."""

import enum
from typing import Any

from msgspec import field

from reconciler.hidden import HidesFields
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine, Expected, Handover
from reconciler.model.machine import MachineRef, MachineState
from reconciler.model.marks import MetadataWrite
from reconciler.model.secret import repr_of
from reconciler.model.shown import shown
from reconciler.model.spec import PoolKind, Rollout, Slot


class ReasonCode(enum.StrEnum):
    """Why a change is planned, or why none is; `reason_code` in a plan's JSON."""

    MISSING = "missing"  # no machine yet
    DESTROYED = "destroyed"  # a machine was applied, and is not there any more
    REGION = "region"  # the machine is in another region than its slot
    VOLUME = "volume"  # the machine mounts another volume
    SPEC = "spec"  # the spec changed since it was last applied
    DRIFT = "drift"  # someone else changed the machine
    IMAGE = "image"  # the image's tag names another digest
    SPEC_AND_DRIFT = "spec_and_drift"  # both the spec and someone else
    INCOMPLETE = "incomplete"  # never applied whole, or changed in what does not show on the machine
    KIND = "kind"  # the pool moved from `tasks` to `services` or back
    POOL = "pool"  # its name moved, in `slots`, from another pool to this one
    NOT_RUNNING = "not_running"  # a service's machine is at rest
    CRASHING = "crashing"  # a service's machine does not stay up
    UNMARKED = "unmarked"  # a machine of the slot's name that no stack has marked
    POOL_REMOVED = "pool_removed"  # its pool left the spec
    REGION_REMOVED = "region_removed"  # its region left the pool
    COUNT_LOWERED = "count_lowered"  # the pool has fewer machines in its region
    NAME_REMOVED = "name_removed"  # no slot of the pool has its name: it left `slots`, or came in the way of one
    DUPLICATE = "duplicate"  # a second machine of one slot
    CLONE = "clone"  # a machine with the marks of a slot under another name
    DESTROY = "destroy"  # asked for by `reconciler destroy`
    RELEASE = "release"  # asked for by `reconciler release`
    SETTINGS = "settings"  # the pool's settings are not as they were applied
    PUBLIC_PORTS = "public_ports"  # an IP address, for an app that is new and has public ports
    AS_DECLARED = "as_declared"


class Action(enum.StrEnum):
    """What a change does to its slot."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"  # destroy, then create under the same name
    DESTROY = "destroy"
    ADOPT = "adopt"  # our marks on a machine that nobody has marked; an update too, where it is not as declared
    START = "start"  # a service's machine that should be running
    RELEASE = "release"  # our marks are taken off, and the machine goes on as it is
    SETTINGS = "settings"  # of a pool: marks on its machines that say what the spec declares and no config shows
    WATCH = "watch"  # a service's machine that is as declared and does not stay up: nothing is sent
    NONE = "none"


_CREATING = {Action.CREATE, Action.REPLACE}
_DESTROYING = {Action.DESTROY, Action.REPLACE}
_SENDING = {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT}


class Cause(enum.StrEnum):
    """Who made a field differ."""

    SPEC = "spec"  # the spec changed since it was last applied
    DRIFT = "drift"  # someone else changed the machine
    IMAGE = "image"  # the image's tag names another image than when it was applied
    BOTH = "both"  # both in one section, and whose this member is can't be told


class FieldChange(HidesFields, frozen=True, kw_only=True):
    """One leaf that differs.

    `path` is in the API's spelling (`env.LOG_LEVEL`, `guest.memory_mb`). `observed` or `desired` is None if the leaf is
    absent on that side. Values of `env` and `files` are secret: a renderer masks them, and the repr hides them.
    """

    path: str
    observed: Any
    desired: Any
    cause: Cause
    is_secret: bool = False

    def __repr__(self) -> str:
        before, after = (repr_of(value, is_secret=self.is_secret) for value in (self.observed, self.desired))
        return f"FieldChange(path={self.path!r}, observed={before}, desired={after}, cause=Cause.{self.cause.name})"


class Change(HidesFields, frozen=True, kw_only=True):
    """What happens to one slot, or to the settings of its pool, and why.

    `reason` says the cause in words, `code` as a value (None in plans saved before version 0.3). `deferred` is None, or
    why this waits (a run in progress). `machine_id` and `expected` bind the change to
    what was observed.
    `observed` is the live config, if one is changed or goes; `desired` is what is sent, None if nothing is.
    `depends_on` holds the addresses of changes that must be done first.
    """

    slot: Slot
    kind: PoolKind
    action: Action
    reason: str
    code: ReasonCode | None = None
    fields: tuple[FieldChange, ...] = ()
    deferred: str | None = None
    machine_id: str | None = None
    machine_state: MachineState | None = None
    expected: Expected = field(default_factory=Expected)
    observed: MachineConfig | None = None
    desired: DesiredMachine | None = None
    anchor: str | None = None  # name of the pool's anchor slot, unless the machine goes
    handover: Handover | None = None  # where the machine goes and was the pool's anchor
    keeper: str | None = None  # name of the slot that keeps how this machine's runs ended, when it goes
    keeper_id: str | None = None  # its machine, where there is one yet
    is_untold: bool = False  # no anchor that stays records this removal, so the machine itself must
    lost: str | None = None  # the digest that was applied to the slot's machine, which is no longer there
    is_new: bool = False  # the slot was not there when the pool was last applied
    rollout: Rollout = field(default_factory=Rollout)  # how a service is watched once this is done
    is_first: bool = False  # the first of its service's machines to be changed
    is_protected: bool = False
    is_started: bool = False  # on an adoption: a service's machine that rests and should be running
    has_crashed: bool = False  # on a start or a watch: the last run of the service's machine was not asked to end
    is_duplicate: bool = False  # a second machine of the slot's name, to be removed
    clone: str = ""  # the name of a clone to be removed; `slot` is the one whose marks it carries
    writes: tuple[MetadataWrite, ...] = ()  # of a change of the settings; of a release: made on others before it
    depends_on: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shown(self, address=self.address, action=self.action, reason=self.reason, deferred=self.deferred)

    @property
    def address(self) -> str:
        """Return its address, unique in a plan."""
        if self.action is Action.SETTINGS:
            return f"{self.slot.app}/{self.slot.pool}/settings"
        if self.clone:
            return f"{self.slot.address} (clone {self.machine_id})"
        return f"{self.slot.address} ({self.machine_id})" if self.is_duplicate else self.slot.address

    @property
    def name(self) -> str:
        """Return the name of its machine."""
        return self.clone or self.slot.name

    @property
    def is_alone(self) -> bool:
        """Return whether its machine is not the one of its slot."""
        return self.is_duplicate or bool(self.clone)

    @property
    def machine(self) -> MachineRef:
        """Return the machine that it is about; only for a change that has one."""
        assert self.machine_id is not None
        return MachineRef(self.slot.app, self.machine_id, self.name)

    @property
    def binding(self) -> tuple[object, ...]:
        """Return what equal changes share: what is done, to which machine, as observed."""
        return (
            self.address,
            self.action.value,
            self.machine_id,
            self.expected.digest,
            self.expected.applied,
            self.desired_digest,
            self.settings,
        )

    @property
    def settings(self) -> tuple[tuple[str, str, str], ...]:
        """Return the settings that change: path, value before and after."""
        if self.action is not Action.SETTINGS:
            return ()
        return tuple((field.path, repr(field.observed), repr(field.desired)) for field in self.fields)

    @property
    def desired_digest(self) -> str | None:
        """Return the digest of what the machine is to be.

        If the machine was the anchor and goes, it is the digest of what its pool is to be.
        """
        if self.desired:
            return self.desired.digest
        return self.handover.digest if self.handover else None

    @property
    def run_policy(self) -> str | None:
        """Return the run policy that this writes on the anchor."""
        if self.desired:
            return self.desired.run_policy
        return self.handover.run_policy if self.handover else None

    @property
    def may_launch(self) -> bool:
        """Return whether it is sent without `skip_launch`: to launch, or for a schedule."""
        if self.desired is None or self.action not in _SENDING:
            return False
        return self.desired.is_scheduled or (self.desired.launch and self.action in _CREATING)

    @property
    def is_marks_only(self) -> bool:
        """Return whether it adopts a machine as it is: no config is sent.

        Then nothing restarts, and a run in progress is no obstacle.
        """
        return self.action is Action.ADOPT and not self.fields

    @property
    def runs_at_once(self) -> bool:
        """Return whether the platform runs the command when the change is made.

        An update leaves a machine at rest stopped, also if it may launch.
        """
        return self.may_launch and self.action in _CREATING

    @property
    def mounted(self) -> frozenset[str]:
        """Return the volumes of the machine that this makes."""
        return self.desired.config.volumes if self.desired and self.action in _CREATING else frozenset()

    @property
    def freed(self) -> frozenset[str]:
        """Return the volumes that this frees, less those that a replace mounts again."""
        return self.observed.volumes - self.mounted if self.observed and self.action in _DESTROYING else frozenset()

    @property
    def is_effective(self) -> bool:
        """Return whether this changes anything, now or once its run has ended."""
        return self.action is not Action.NONE and self.action is not Action.WATCH
