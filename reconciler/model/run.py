"""A run: one invocation of a task on one machine, and how it ended."""

import enum
from datetime import datetime

from msgspec import Struct

from reconciler.hidden import HidesFields
from reconciler.model.shown import shown
from reconciler.model.spec import Slot


class OutcomeName(enum.StrEnum):
    """How a run ended, by name, so that a task's own code is not taken for ours."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SIGNALLED = "signalled"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NEVER_STARTED = "never_started"
    BUSY = "busy"
    SKIPPED = "skipped"
    REPLACED = "replaced"
    LOST = "lost"
    DETACHED = "detached"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"


class NeverStarted(enum.StrEnum):
    """What kept a run from starting, where that is known."""

    IMAGE = "image"
    CAPACITY = "capacity"
    QUOTA = "quota"
    HOST = "host"


class Outcome(HidesFields, frozen=True, kw_only=True):
    """How a run ended.

    `exit_code` is what our command ends with, `task_code` what the task ended with, if known. `cause` is given for
    NEVER_STARTED alone.
    """

    name: OutcomeName
    exit_code: int
    message: str
    task_code: int | None = None
    signal: int | None = None
    remedy: str | None = None
    cause: NeverStarted | None = None

    def __repr__(self) -> str:
        return shown(self, name=self.name, exit_code=self.exit_code, message=self.message, remedy=self.remedy)

    @property
    def ok(self) -> bool:
        """Return whether the task ended with 0."""
        return self.name is OutcomeName.SUCCEEDED


class Run(Struct, frozen=True, kw_only=True):
    """One invocation of a task.

    `id` is `<slot>/<ULID>`, None if no machine was claimed. Times are the server's, UTC. `attempts` counts its starts,
    the platform's restarts among them; None if that is not known.
    """

    task: str
    app: str
    outcome: Outcome
    id: str | None = None
    slot: Slot | None = None
    machine_id: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int | None = None


class RunState(enum.StrEnum):
    """Where a run stands.

    A claim that died before its start has NOT_STARTED, and nothing of it ran.
    """

    RUNNING = "running"
    ENDED = "ended"
    NOT_STARTED = "not started"


class RunInfo(HidesFields, frozen=True, kw_only=True):
    """A run as its machine's events and records show it.

    `who` is `unknown` if it was started without a record. `outcome` is None while it runs, and LOST if its end cannot
    be known; `started_at`, `ended_at` and `attempts` are None if they are no longer retained. `attempts` counts its
    starts, the platform's restarts among them.
    """

    id: str
    task: str
    app: str
    slot: str
    machine_id: str
    state: RunState
    who: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deadline: datetime | None = None
    outcome: Outcome | None = None
    attempts: int | None = None

    def __repr__(self) -> str:
        return shown(self, id=self.id, state=self.state, outcome=self.outcome and self.outcome.name, who=self.who)
