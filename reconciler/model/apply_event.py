"""What happens in an apply or a destroy, as it happens."""

import enum
from datetime import datetime

from msgspec import Struct

from reconciler.model.change import Change
from reconciler.model.plan import AppCreation, Plan
from reconciler.model.report import AppEntry, Entry, Report


class ApplyEventType(enum.StrEnum):
    """What has happened."""

    PLANNED = "planned"  # the first: what is to be done
    APP_CREATED = "app_created"
    APP_DELETED = "app_deleted"
    STARTED = "started"  # a change has begun
    DONE = "done"
    FAILED = "failed"
    DEFERRED = "deferred"  # a run is in progress on the machine; another end may follow
    SKIPPED = "skipped"  # not begun, or another apply was there first; then another end may follow
    UNKNOWN = "unknown"
    LOG = "log"  # the last lines of a service that did not stay up
    SUMMARY = "summary"  # the last: the report


class ApplyEvent(Struct, frozen=True, kw_only=True):
    """Something that happened, at a time (UTC).

    `about` is the plan of `planned`, the app of `app_created` and `app_deleted`, the change of `started`, the report of
    `summary`, and else the entry of the change that ended. `run` is the run that it is about, if it is about one.
    """

    type: ApplyEventType
    time: datetime
    about: Plan | AppCreation | AppEntry | Change | Entry | Report
    run: str | None = None

    @property
    def address(self) -> str | None:
        """Return the address of the change; None if it is about the whole."""
        return self.about.address if isinstance(self.about, Change | Entry) else None
