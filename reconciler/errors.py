"""Every error that this package raises on purpose.

ReconcilerError                what went wrong; `hint` says what to do next
├── SpecError                  the spec is invalid; it has all diagnostics
├── UsageError                 the call itself is wrong (unknown task, missing file)
├── TargetError                no token, an invalid URL, an engine that does not start
├── BlockedError               a plan may not be applied as it is
├── StalePlanError             the plan is no longer the one that was reviewed; `reasons` say what has moved
├── UnobservedError            the platform's answer is missing, or not credible (an empty list of a full app)
├── NotStartedError            a run did not start; `outcome` says why
├── RunFailedError             a run that was to succeed has ended otherwise; `outcome` says how
├── StartUnclearError          it is unknown whether a run started
├── RegistryError              an image cannot be resolved, or the platform cannot run it; `kind` says why
├── BuildError                 an image could not be built or pushed; `lines` are the builder's last ones
├── LeaseLostError             a lease ended before the work that it guarded
├── LogsIncompleteError        lines of the output of a run or a service are missing
└── ApiError                   the Machines API refused, or its answer is invalid; `kind` says what happened
"""

import enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.model.run import Outcome
    from reconciler.model.spec import Diagnostic

_LONGEST: Final = 500  # characters of a spec's first error


class ReconcilerError(Exception):
    """What went wrong, and in `hint` what to do about it. Both are safe to print.

    `at` is where the spec has what is wrong, if that is in it.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.at: Diagnostic | None = None

    def __reduce__(self) -> Any:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(error: type[ReconcilerError], args: tuple[Any, ...], values: dict[str, Any]) -> ReconcilerError:
    """Return the error as it was in another process, such as a worker of a queue."""
    restored = error.__new__(error, *args)
    restored.__dict__.update(values)
    return restored


def words_of(error: BaseException) -> str:
    """Return what an error that ended a command says."""
    match error:
        case ReconcilerError():
            return error.message
        case OSError():
            return str(error)
        case _:
            return unexpected_words(error)


def unexpected_words(error: BaseException) -> str:
    """Return the message for an error that this package does not raise on purpose."""
    return f"unexpected {type(error).__name__}: {error}"


class SpecError(ReconcilerError):
    """The spec is invalid. `diagnostics` has its errors; `more` counts the rest.

    The message has the first error and the number of the others; `summary` has only the number.
    """

    def __init__(self, diagnostics: "Sequence[Diagnostic]", *, more: int = 0) -> None:
        count = len(diagnostics) + more
        told = "".join(f": {_words_of(one)}" for one in diagnostics[:1])
        others = f", and {count - 1} more" if count > 1 else ""
        self.summary: str = f"the spec has {count} error{'' if count == 1 else 's'}"
        super().__init__(f"{self.summary}{told}{others}")
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        self.more = more


def _words_of(diagnostic: "Diagnostic") -> str:
    """Return the place and the text on one line.

    Names in a spec are foreign text, so control characters are removed.
    """
    text = f"{diagnostic.place.file}:{diagnostic.place.line}: {diagnostic.message}"[:_LONGEST]
    return "".join(one if one.isprintable() else " " for one in text)


class UsageError(ReconcilerError):
    """The call itself is wrong."""


class TargetError(ReconcilerError):
    """The target cannot be used: no token, a bad URL, an engine that does not start."""


class BlockedError(ReconcilerError):
    """The plan may not be applied as it is.

    For example an app could not be read, the deletion limit was reached, or a foreign machine has a slot's name.
    """


class StalePlanError(ReconcilerError):
    """The plan is not the one that was reviewed. Nothing was changed.

    `reasons` say what is different now.
    """

    def __init__(self, reasons: "Sequence[str]") -> None:
        said = "; ".join(reasons)
        super().__init__(f"the plan is not the one that was reviewed: {said}", hint="plan again, and review that")
        self.reasons: tuple[str, ...] = tuple(reasons)


class UnobservedError(ReconcilerError):
    """The platform's answer is missing or not credible: conclude and write nothing."""


class NotStartedError(ReconcilerError):
    """A run did not start: no free machine in time, no capacity, a refused override.

    `outcome` says which. With LOST it is unknown whether the run started, and `run_id` is its id to find it later.
    """

    def __init__(self, outcome: "Outcome", *, run_id: str | None = None) -> None:
        super().__init__(outcome.message, hint=outcome.remedy)
        self.outcome = outcome
        self.run_id = run_id


class RunFailedError(ReconcilerError):
    """A run that was to succeed has ended otherwise, or is lost from sight.

    `outcome` says how. The text has its remedy too, where there is one.
    """

    def __init__(self, outcome: "Outcome", *, run_id: str) -> None:
        super().__init__(f"run {run_id}: {outcome.message}", hint=outcome.remedy)
        self.outcome = outcome
        self.run_id = run_id

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class LeaseLostError(ReconcilerError):
    """Our lease ended before the work that it guarded; nothing more is written there."""


class LogsIncompleteError(ReconcilerError):
    """A log could not be read to its end: lines are missing from the output."""


class StartUnclearError(ReconcilerError):
    """A start was sent, and its effect is unknown: start nothing in its place."""


class ApiErrorKind(enum.StrEnum):
    """What an answer of the API means. Only machines_api/errors.py decides that."""

    UNREACHABLE = "unreachable"  # nothing was sent: no connection
    UNCLEAR = "unclear"  # something was sent, and its effect is unknown
    NOT_AN_API = "not an API"  # an answer that no Machines API sends (HTML, a redirect)
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
    QUOTA = "quota"  # a limit of the organisation is reached
    IMAGE_NOT_READY = "image not ready"
    WAIT_EXPIRED = "wait expired"
    REPLACED = "replaced"
    NOT_FOUND = "not found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    BAD_INPUT = "bad input"
    REFUSED = "refused"  # any other final answer


_PASSING = {ApiErrorKind.UNREACHABLE, ApiErrorKind.UNCLEAR, ApiErrorKind.RATE_LIMITED, ApiErrorKind.NOT_AN_API}


class ApiError(ReconcilerError):
    """The Machines API refused, or its answer is invalid.

    `status` is the HTTP status, None without an answer. `machine_id` is the machine that has a name or volume that is
    taken. `held_by` is the owner of a lease, `held_until` its expiry. `retry_after_s` is what a 429 asked for.
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
        """Return whether network or server failed, so that another try may succeed."""
        return self.kind in _PASSING

    @property
    def is_unclear(self) -> bool:
        """Return whether the call may have had its effect."""
        return self.kind is ApiErrorKind.UNCLEAR


class RegistryErrorKind(enum.StrEnum):
    """Why an image cannot be used, as its registry reports it."""

    UNREACHABLE = "unreachable"  # no connection, no answer in time, a 5xx, a rate limit: may be temporary
    DENIED = "denied"
    NOT_FOUND = "not found"
    UNSUITABLE = "unsuitable"  # no image for the platform, or one that is too large
    NOT_A_REGISTRY = "not a registry"


class RegistryError(ReconcilerError):
    """A tag cannot be resolved, or the platform cannot run its image.

    `image` is the image as the spec names it, if that is known.
    """

    def __init__(self, message: str, *, kind: RegistryErrorKind, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.image: str | None = None

    @property
    def is_final(self) -> bool:
        """Return whether the registry says that this image cannot be used."""
        return self.kind in {RegistryErrorKind.NOT_FOUND, RegistryErrorKind.UNSUITABLE}


class BuildError(ReconcilerError):
    """An image could not be built or pushed. Nothing else was changed."""

    def __init__(self, message: str, *, hint: str | None = None, lines: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lines = lines
