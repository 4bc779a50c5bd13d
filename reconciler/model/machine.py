"""What the Machines API reports: machines, states, events, checks, leases."""

import enum
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.hidden import HidesFields
from reconciler.model.config import MachineConfig
from reconciler.model.counted import counted
from reconciler.model.ip_address import IpAddress


class MachineState(enum.StrEnum):
    """The platform's states.

    Anything that it may add later reads as UNKNOWN, never as running.
    """

    CREATED = "created"
    CREATING = "creating"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESTARTING = "restarting"
    UPDATING = "updating"
    REPLACING = "replacing"
    REPLACED = "replaced"
    FAILED = "failed"
    LAUNCH_FAILED = "launch_failed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    MIGRATED = "migrated"
    UNKNOWN = "unknown"

    @property
    def is_resting(self) -> bool:
        """Return whether nothing runs and nothing is about to.

        Such a machine can be changed or claimed.
        """
        return self in _RESTING

    @property
    def is_settling(self) -> bool:
        """Return whether it becomes resting or running by itself, without a task."""
        return self in _SETTLING

    @property
    def is_gone(self) -> bool:
        """Return whether it is destroyed or about to be; its slot is or becomes free."""
        return self in _GONE


_RESTING = {MachineState.STOPPED, MachineState.SUSPENDED, MachineState.FAILED, MachineState.CREATED}
_SETTLING = {MachineState.CREATING, MachineState.UPDATING, MachineState.REPLACING}
_GONE = {MachineState.DESTROYING, MachineState.DESTROYED, MachineState.LAUNCH_FAILED, MachineState.MIGRATED}


class HostStatus(enum.StrEnum):
    """Whether the platform reaches the machine's host.

    If it is not OK, nothing about the machine can be trusted.
    """

    OK = "ok"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"


class Exit(Struct, frozen=True, kw_only=True):
    """How a machine's command ended.

    `signal` is None if none ended it; `code` is what the platform reports. `error` says why the end is not known,
    whatever the code; so does a negative code.
    """

    code: int
    signal: int | None = None
    oom_killed: bool = False
    requested_stop: bool = False
    restarting: bool = False
    error: str | None = None

    @property
    def is_known(self) -> bool:
        """Return whether the code can be relied on."""
        return self.error is None and self.code >= 0


class Event(Struct, frozen=True, kw_only=True):
    """One entry of a machine's history.

    Lists of them are newest first, as the platform gives them.
    """

    id: str
    type: str
    status: str
    source: str
    timestamp_ms: int
    exit: Exit | None = None

    @property
    def at(self) -> datetime:
        """Return its time by the server's clock, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)


class Check(Struct, frozen=True, kw_only=True):
    """One health check's latest report; `status` is passing, warning or critical."""

    name: str
    status: str
    output: str = ""


class ShownLease(Struct, frozen=True, kw_only=True):
    """The lease on a machine as a list shows it: with a holder, without the nonce."""

    owner: str
    description: str
    expires_at: datetime


class MachineRef(Struct, frozen=True):
    """Which machine is meant, and nothing of what it is like: a GET tells that."""

    app: str
    id: str
    name: str

    def destroyed(self) -> "Machine":
        """Return the machine as one that the API no longer knows."""
        return Machine(
            app=self.app,
            id=self.id,
            name=self.name,
            state=MachineState.DESTROYED,
            region="",
            version="",
            config=None,
        )


class Machine(Struct, frozen=True, kw_only=True):
    """One machine as reported.

    `config` is None while its host is unreachable; `events` are newest first. `not_understood` names the members of the
    answer that have a type that the API never gives. If a list has a machine without a readable id or name, they are ""
    here. `version` is new with each update; "" if the server does not report it. `lease` is only in lists, and not in
    those of older servers.
    """

    app: str
    id: str
    name: str
    state: MachineState
    region: str
    version: str
    config: MachineConfig | None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    host_status: HostStatus = HostStatus.OK
    image_digest: str | None = None
    events: tuple[Event, ...] = ()
    checks: tuple[Check, ...] = ()
    not_understood: tuple[str, ...] = ()
    lease: ShownLease | None = None

    @property
    def ref(self) -> MachineRef:
        return MachineRef(self.app, self.id, self.name)

    @property
    def metadata(self) -> Mapping[str, str]:
        return (self.config.document.get("metadata") if self.config else None) or {}

    @property
    def is_deployed_by_fly(self) -> bool:
        """Return whether `fly deploy` manages the machine's app too."""
        return self.metadata.get("fly_platform_version") == "v2"

    def destroyed(self) -> "Machine":
        """Return the machine as it was seen last, and destroyed since."""
        return replace(self, state=MachineState.DESTROYED)

    @property
    def newest_event(self) -> str | None:
        """Return the id of the newest event that comes with the machine."""
        return self.events[0].id if self.events else None

    @property
    def is_observable(self) -> bool:
        """Return whether its config and state can be relied on."""
        return self.host_status is HostStatus.OK and self.config is not None and not self.not_understood

    @property
    def is_dark(self) -> bool:
        """Return whether it is not observable because its host is down."""
        return not self.is_observable and (self.host_status is not HostStatus.OK or not self.not_understood)

    @property
    def doubt(self) -> str:
        """Say why it is not observable, in words that follow "is"."""
        if self.is_dark:
            return "unreachable: its host is down"
        return f"not understood: invalid {', '.join(self.not_understood)}"

    @property
    def shows_marks(self) -> bool:
        """Return whether all its metadata is shown, so that what is absent is not there."""
        is_shown = self.host_status is HostStatus.OK and self.config is not None
        return is_shown and not {"config", "config.metadata"}.intersection(self.not_understood)

    @property
    def is_anonymous(self) -> bool:
        """Return whether nothing tells which machine it is: no name and no marks."""
        return not self.name and not self.shows_marks


class MachineVersion(Struct, frozen=True, kw_only=True):
    """A retained version of a machine. `config` is as sent, if the server keeps it."""

    version: str
    config: MachineConfig | None


class Lease(HidesFields, frozen=True, kw_only=True):
    """A lease on one machine; `nonce` is the right to write."""

    nonce: str
    expires_at: datetime
    owner: str
    description: str

    def __repr__(self) -> str:
        return f"Lease(owner={self.owner!r}, description={self.description!r}, expires_at={self.expires_at})"


class ObservedApp(Struct, frozen=True, kw_only=True):
    """One app of a snapshot.

    `reported_count` is the app's own count, asked for only if the list was empty. `broken` says why its list is not
    whole; `machines` has none of it then. `ip_addresses` are empty where they were not asked for.
    """

    name: str
    exists: bool
    machines: tuple[Machine, ...] = ()
    reported_count: int | None = None
    broken: str | None = None
    ip_addresses: tuple[IpAddress, ...] = ()

    @property
    def unobserved(self) -> str | None:
        """Say why the list must not be believed; None if it can be."""
        if self.broken:
            return self.broken
        if not self.machines and self.reported_count:
            return f"app {self.name} reports {counted(self.reported_count, 'machine')}, but the list of them is empty"
        if count := sum(machine.is_anonymous for machine in self.machines):
            listed = f"app {self.name} lists {counted(count, 'machine')}"
            return f"{listed} of which neither id, name nor marks are understood"
        return None


class Observed(Struct, frozen=True, kw_only=True):
    """One snapshot of the world: every app of the spec, and when it was taken (UTC)."""

    apps: Mapping[str, ObservedApp]
    at: datetime
    warnings: tuple[str, ...] = field(default=())

    @property
    def machines(self) -> tuple[Machine, ...]:
        return tuple(machine for app in self.apps.values() for machine in app.machines)
