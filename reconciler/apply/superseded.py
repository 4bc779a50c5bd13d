"""End a reviewed plan well that a newer revision superseded meanwhile. Pure.

What the newer revision had first is left to it: skipped, and no failure. Nothing new is begun after that.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.model.machine import Observed
from reconciler.model.report import Entry, Reason, Report, Status
from reconciler.model.revision import Revision
from reconciler.planner.holders import owned_in
from reconciler.planner.limits import newer_revision

WHY_STOPPED: Final = "a newer revision was applied meanwhile, so nothing new was begun"
_FIRST_ELSEWHERE: Final = frozenset({Reason.SUPERSEDED, Reason.OVERTAKEN})


def is_superseded(ended: Entry, options: Options) -> bool:
    """Return whether a newer revision ended this change of a reviewed plan."""
    return options.plan_sha256 is not None and ended.reason is Reason.SUPERSEDED


def left_to_newer(ended: Entry, options: Options) -> Entry:
    """Return the end of a change; one that a newer revision ended is no failure."""
    return _skipped(ended) if is_superseded(ended, options) else ended


def newer_in(found: Observed | None, stack: str, entries: Iterable[Entry], options: Options) -> Revision | None:
    """Return the newer revision that ended changes of a reviewed plan, as read back."""
    if found is None or not any(is_superseded(ended, options) for ended in entries):
        return None
    owned = (machine for app in found.apps.values() for machine in owned_in(app, stack))
    return newer_revision(owned, options.revision)


def superseded_by(report: Report, newer: Revision) -> Report:
    """Return the report of a plan that was superseded while it was applied.

    What is read back is then the newer revision's, and no mismatch.
    """
    entries = tuple(_skipped(ended) if ended.reason in _FIRST_ELSEWHERE else ended for ended in report.entries)
    return replace(report, entries=entries, mismatches=(), superseded_by=newer)


def _skipped(ended: Entry) -> Entry:
    return replace(ended, status=Status.SKIPPED) if ended.status is Status.FAILED else ended
