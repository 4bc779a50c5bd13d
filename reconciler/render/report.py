"""Show the report of an apply: what was done, what was not, what to type next."""

from collections import Counter
from typing import Any, Final

from reconciler.model.change import Action
from reconciler.model.plan import unreachable_counts
from reconciler.model.report import Entry, Report, Status, Unhealthy
from reconciler.model.revision import Revision
from reconciler.render.next_steps import after_report
from reconciler.render.ranges import FEW, ranges_of
from reconciler.render.redact import clean
from reconciler.render.revision import revision_json
from reconciler.render.scope import scope_members, selection_json, url_lines
from reconciler.render.style import FORMAT_VERSION, paint, wrapped

_APPS_NAMED: Final = 5
_DONE: Final = {"destroy": "destroyed", "release": "released"}  # by verb, where it is not "applied"
_LOG_LINE: Final = 300  # characters of one line


def report_text(report: Report, *, color: bool = False, verb: str = "apply", width: int | None = None) -> str:
    """Show what needs attention line by line, then one closing line.

    `verb` is the command that was run. Without a `width` no line is wrapped.
    """
    errors = [one.words for one in report.unreachable]
    errors += [f"failed: {failure}" for failure in report.failures]
    errors += [f"not as applied: {mismatch}" for mismatch in report.mismatches]
    lines = [line for entries in _alike(report) for line in _lines_of(entries)]
    lines += [*_allocation_lines(report), *_deletion_lines(report)]
    shown = [text for line in lines for text in ([line] if line.startswith(" ") else wrapped(line, width, hanging=2))]
    for line in errors:
        shown += [paint(text, "error", color=color) for text in wrapped(clean(line), width, hanging=2)]
    hint = after_report(report, verb)
    for line in (closing_line(report, verb), *url_lines(report.urls), *([hint] if hint else [])):
        shown += wrapped(line, width, hanging=2)
    return "\n".join(shown)


def report_json(report: Report) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "format_version": FORMAT_VERSION,
        "stack": report.plan.stack,
        **scope_members(report.plan.scope),
        "selection": selection_json(report.plan.selection),
        "success": report.is_success,
        "interrupted": report.interrupted,
        "superseded_by": revision_json(report.superseded_by),
        "nothing_left": report.is_nothing_left,
        "duration_s": round(report.duration_s, 3),
        "apps_created": list(report.apps_created),
        "entries": [entry_json(entry) for entry in report.entries],
        "allocations": [
            {
                "app": one.app,
                "type": one.kind.value,
                "status": one.status.value,
                "detail": clean(one.detail),
                "ip": one.ip,
            }
            for one in report.allocations
        ],
        "app_deletions": [
            {"app": one.app, "status": one.status.value, "detail": clean(one.detail)} for one in report.app_deletions
        ],
        "unreachable": [one.slot.address for one in report.unreachable],
        "failures": [clean(failure) for failure in report.failures],
        "urls": {clean(app): [*map(clean, found)] for app, found in report.urls.items()},
        "mismatches": [clean(mismatch) for mismatch in report.mismatches],
    }


def superseded_words(newer: Revision) -> str:
    """Say that a newer revision was applied, so that nothing is to be done."""
    return f"Superseded by {newer.words}, which was applied already: nothing was changed."


def superseded_meanwhile_words(newer: Revision) -> str:
    """Say that a newer revision was applied while this one was."""
    return f"Superseded by {newer.words}, which was applied meanwhile"


def problems(report: Report) -> list[str]:
    """List what was not done as it should have been, one line each."""
    ended = [one for one in report.entries if one.status in {Status.FAILED, Status.UNKNOWN}]
    lines = [f"{one.status.value}: {one.action.value} {one.address}: {clean(one.detail)}" for one in ended]
    lines += [*_allocation_lines(report), *_deletion_lines(report)]
    lines += [clean(one.words) for one in report.unreachable]
    return (
        lines + [f"failed: {one}" for one in report.failures] + [f"not as applied: {one}" for one in report.mismatches]
    )


def not_yet(report: Report) -> list[str]:
    """List what waits for something, or was not begun; many that are alike as ranges."""
    waiting = {Status.DEFERRED, Status.SKIPPED}
    return [line for entries in _alike(report) if entries[0].status in waiting for line in _lines_of(entries)]


def _allocation_lines(report: Report) -> list[str]:
    undone = [one for one in report.allocations if one.status is not Status.DONE]
    return [f"{one.status.value}: allocate {one.app} {one.kind}: {clean(one.detail)}" for one in undone]


def _deletion_lines(report: Report) -> list[str]:
    undone = [one for one in report.app_deletions if one.status is not Status.DONE]
    return [f"{one.status.value}: delete app {clean(one.app)}: {clean(one.detail)}" for one in undone]


def _alike(report: Report) -> list[list[Entry]]:
    """Return what was not done, each alone; what was skipped for one reason together."""
    found: dict[object, list[Entry]] = {}
    for position, entry in enumerate(report.entries):
        if entry.status is Status.DONE:
            continue
        is_range = entry.status is Status.SKIPPED and entry.address == entry.slot.address
        alike = (entry.slot.app, entry.slot.pool, entry.action, entry.detail)
        found.setdefault(alike if is_range else position, []).append(entry)
    return list(found.values())


def _lines_of(entries: list[Entry]) -> list[str]:
    """Return a line for each of a few entries, and for each range of many."""
    if len(entries) <= FEW:
        return [line for entry in entries for line in _entry_lines(entry)]
    first = entries[0]
    return [
        f"{first.status.value}: {first.action.value} {found.address}: {clean(first.detail)}"
        for found in ranges_of(entry.slot for entry in entries)
    ]


def _entry_lines(entry: Entry) -> list[str]:
    """Say what became of a change, and below it what its machine printed last."""
    lines = [f"{entry.status.value}: {entry.action.value} {entry.address}: {clean(entry.detail)}"]
    if entry.unhealthy and entry.unhealthy.log:
        lines += ["  its last lines:", *(f"  | {line}" for line in log_lines(entry.unhealthy))]
    elif entry.unhealthy:
        lines.append("  it said nothing, as far as its log tells")
    return lines


def log_lines(unhealthy: Unhealthy) -> list[str]:
    """Return what a machine that did not stay up printed last."""
    return [clean(line, _LOG_LINE) for line in unhealthy.log]


def _unhealthy_json(unhealthy: Unhealthy) -> dict[str, Any]:
    ended = unhealthy.ended
    return {
        "exit_code": ended.code if ended and ended.is_known else None,
        "signal": ended.signal if ended else None,
        "oom_killed": bool(ended and ended.oom_killed),
        "restarts": unhealthy.restarts,
        "failing_checks": [
            {"name": clean(check.name), "status": clean(check.status), "output": clean(check.output)}
            for check in unhealthy.failing
        ],
        "log": log_lines(unhealthy),
    }


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return how a change ended."""
    return {
        "address": entry.address,
        "app": entry.slot.app,
        "pool": entry.slot.pool,
        "slot": entry.slot.name,
        "action": entry.action.value,
        "status": entry.status.value,
        "detail": clean(entry.detail),
        "reason": entry.reason.value if entry.reason else None,
        "machine": entry.machine_id,
        "unhealthy": _unhealthy_json(entry.unhealthy) if entry.unhealthy else None,
    }


def closing_line(report: Report, verb: str) -> str:
    """Sum up the report in one line."""
    is_begun = bool(report.entries or report.apps_created or report.allocations)
    if report.superseded_by and not is_begun:
        return superseded_words(report.superseded_by)
    if report.is_nothing_left:
        return f"Nothing left of this plan: all of it is done, in {report.duration_s:.1f} s."
    word = "Interrupted" if report.interrupted else _ended_word(report, verb)
    counts = Counter(entry.status for entry in report.entries)
    ends = [one.status for one in report.allocations] + [one.status for one in report.app_deletions]
    counts.update(status for status in ends if status is not Status.DONE)
    allocated = sum(one.status is Status.DONE for one in report.allocations)
    parts = [f"{counts[status]} {status.value}" for status in Status if counts[status]]
    parts += unreachable_counts(report.unreachable)
    if deleted := tuple(one.app for one in report.app_deletions if one.status is Status.DONE):
        parts.append(f"{_apps(deleted)} deleted")
    if allocated:
        parts.insert(0, f"{allocated} IP address{'' if allocated == 1 else 'es'} allocated")
    if report.apps_created:
        parts.insert(0, f"{_apps(report.apps_created)} created")
    if not parts and verb == "destroy" and report.is_success:
        return f"Nothing to destroy: stack {clean(report.plan.stack)} has no machine."
    if not parts and verb == "release" and report.is_success:
        return f"Nothing to release: no machine carries the marks of stack {clean(report.plan.stack)}."
    if report.superseded_by and not report.interrupted:
        word = superseded_meanwhile_words(report.superseded_by)
    return f"{word}: {', '.join(parts) or 'nothing to do'}, in {report.duration_s:.1f} s."


def _ended_word(report: Report, verb: str) -> str:
    """Return what was done, as a participle; an apply that only destroyed says so."""
    done = _DONE.get(verb, "applied")
    if not report.is_success:
        return f"Not all was {done}"
    actions = {entry.action for entry in report.entries if entry.status is Status.DONE}
    has_more = bool(report.apps_created or report.allocations)
    return (_DONE["destroy"] if actions == {Action.DESTROY} and not has_more else done).capitalize()


def _apps(names: tuple[str, ...]) -> str:
    return f"app {', '.join(names)}" if len(names) <= _APPS_NAMED else f"{len(names)} apps"
