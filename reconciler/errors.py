"""Every error that this package raises on purpose.

ReconcilerError                what went wrong; `hint` says what to do next
├── SpecError                  the spec is not valid; carries every diagnostic
├── UsageError                 the call itself is wrong (unknown task, missing file)
├── TargetError                no token, an unusable URL, an engine that does not start
├── UnobservedError            the platform's answer cannot be believed (an empty list of a full app), or does not come
├── NotStartedError            a run did not start; `outcome` says why
├── StartUnclearError          whether a run started cannot be learnt
├── RegistryError              an image cannot be resolved, or the platform could not run it; `kind` says how
├── BuildError                 an image could not be built or pushed; `lines` are the builder's last
├── LeaseLostError             a lease ended before the work that it guarded
├── LogsIncompleteError        lines of a run's output, or a service's, are missing
└── ApiError                   the Machines API refused, or could not be understood; `kind` says how
"""

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.model.diagnostic import Diagnostic
    from reconciler.model.run import Outcome


class ReconcilerError(Exception):
    """What went wrong, where, and in `hint` what to do next. Both are safe to print."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def unexpected_words(error: BaseException) -> str:
    """Return what to say of an error that this package does not raise on purpose."""
    return f"unexpected {type(error).__name__}: {error}"


class SpecError(ReconcilerError):
    """The spec is not valid. `diagnostics` lists the file's errors, in the file's order; `more` that are left out."""

    def __init__(self, diagnostics: "Sequence[Diagnostic]", *, more: int = 0) -> None:
        count = len(diagnostics) + more
        super().__init__(f"the spec has {count} error{'' if count == 1 else 's'}")
        self.diagnostics = tuple(diagnostics)
        self.more = more


class UsageError(ReconcilerError):
    """The call itself is wrong."""


class TargetError(ReconcilerError):
    """The target cannot be used: no token, an unusable URL, an engine that does not start."""


class UnobservedError(ReconcilerError):
    """What the platform answered cannot be believed, or it was away too long: nothing may be concluded or written."""


class NotStartedError(ReconcilerError):
    """A run did not start: no free machine in time, no room, a refused override. `outcome` says which, by name.

    LOST where it may have started and that cannot be learnt: `run_id` is then the id by which it is found later.
    """

    def __init__(self, outcome: "Outcome", *, run_id: str | None = None) -> None:
        super().__init__(outcome.message, hint=outcome.remedy)
        self.outcome = outcome
        self.run_id = run_id


class LeaseLostError(ReconcilerError):
    """Our lease on a machine ended before the work that it guarded; nothing more is written to that machine."""


class LogsIncompleteError(ReconcilerError):
    """A log could not be read to its end: lines that were written are missing from what was shown."""


class StartUnclearError(ReconcilerError):
    """A start was sent, and whether it had its effect cannot be learnt: nothing else may be started in its place."""


class ApiErrorKind(enum.Enum):
    """What an answer of the API means, whatever its status and text were. Set in machines_api/errors.py only."""

    UNREACHABLE = "unreachable"  # nothing was sent: no connection
    UNCLEAR = "unclear"  # something was sent, and whether it had an effect is not known
    NOT_AN_API = "not an API"  # an answer that no Machines API gives (HTML, a redirect)
    RATE_LIMITED = "rate limited"
    LEASE_HELD = "lease held"
    LEASE_NOT_FOUND = "lease not found"
    NAME_TAKEN = "name taken"
    CONCURRENT_UPDATE = "concurrent update"
    STALE_VERSION = "stale version"
    SETTLING = "settling"
    STILL_RUNNING = "still running"
    VOLUME_BUSY = "volume busy"  # a machine has the volume
    CAPACITY = "capacity"
    HOST_MAINTENANCE = "host maintenance"
    QUOTA = "quota"  # a limit of the organisation
    IMAGE_NOT_READY = "image not ready"
    WAIT_EXPIRED = "wait expired"
    REPLACED = "replaced"
    NOT_FOUND = "not found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    BAD_INPUT = "bad input"
    REFUSED = "refused"  # a final answer that none of the above describes


_PASSING = {ApiErrorKind.UNREACHABLE, ApiErrorKind.UNCLEAR, ApiErrorKind.RATE_LIMITED, ApiErrorKind.NOT_AN_API}


class ApiError(ReconcilerError):
    """The Machines API refused or could not be understood. `status` is the HTTP status, None without an answer.

    `machine_id` is the holder of a taken name or volume; `held_until` a lease's printed expiry, `held_by` its owner;
    `retry_after_s` what a 429 asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ApiErrorKind,
        status: int | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        machine_id: str | None = None,
        held_by: str | None = None,
        held_until: "datetime | None" = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.request_id = request_id
        self.machine_id = machine_id
        self.held_by = held_by
        self.held_until = held_until
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether network or server failed, and may not at the next try, where the target has answered before."""
        return self.kind in _PASSING

    @property
    def is_unclear(self) -> bool:
        """Whether the call may have had its effect all the same."""
        return self.kind is ApiErrorKind.UNCLEAR


class RegistryErrorKind(enum.Enum):
    """What is the matter with an image, as its registry tells it."""

    UNREACHABLE = "unreachable"  # no connection, no answer in time, a 5xx, a rate limit: may pass
    DENIED = "denied"
    NOT_FOUND = "not found"
    UNSUITABLE = "unsuitable"  # no image for the platform, or one that is too large
    NOT_A_REGISTRY = "not a registry"


class RegistryError(ReconcilerError):
    """A tag could not be resolved, or the platform could not run what it names."""

    def __init__(self, message: str, *, kind: RegistryErrorKind, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind

    @property
    def is_final(self) -> bool:
        """Whether the registry has said that this image will not do. Else nothing is known of it."""
        return self.kind in {RegistryErrorKind.NOT_FOUND, RegistryErrorKind.UNSUITABLE}


class BuildError(ReconcilerError):
    """An image could not be built or pushed. Nothing else was changed."""

    def __init__(self, message: str, *, hint: str | None = None, lines: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lines = lines
