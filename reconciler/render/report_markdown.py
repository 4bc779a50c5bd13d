"""Show the report of an apply or a destroy as Markdown, for a job's summary.

What failed stands first and in red, then what happens next. It is never too long for a comment.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report, Status, Unhealthy
from reconciler.render.markdown import marker
from reconciler.render.markup import code, fitting, folded, html_code, notes, pool_table, pre, red
from reconciler.render.next_steps import after_refusal, after_report
from reconciler.render.pools import first_of
from reconciler.render.ranges import ranges_of
from reconciler.render.redact import clean
from reconciler.render.report import closing_line, log_lines, not_yet, problems
from reconciler.render.scope import scope_line

_RED: Final = 12_000  # characters
_LOGS: Final = 20_000
_URL: Final = r"https?://(?:[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(?::\d+)?"
_NAMED: Final = 20


def report_markdown(report: Report, verb: str) -> str:
    """Return what was done, what was not, and the next step."""
    logs, left_out = fitting((_log(one.address, one.unhealthy) for one in report.entries if one.unhealthy), _LOGS)
    more = [f"… and the logs of {len(left_out)} more machines\n"] if left_out else []
    lines = [
        *_head(report.plan, closing_line(report, verb), verb),
        *_urls(report),
        *_red(problems(report)),
        *notes("Not yet", not_yet(report)),
        *notes("Warning", report.plan.warnings),
        *_gone(report.entries),
        *_next(after_report(report, verb)),
        *_pools(report.entries),
        *logs,
        *more,
    ]
    return "\n".join(lines).rstrip() + "\n"


def refusal_markdown(plan: Plan, why: Iterable[str], verb: str) -> str:
    """Return why nothing was begun, and the next step."""
    lines = [
        *_head(plan, "Nothing was changed.", verb),
        *_red(f"refused: {reason}" for reason in why),
        *notes("Warning", plan.warnings),
        *_next(after_refusal(plan, verb)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _head(plan: Plan, words: str, verb: str) -> list[str]:
    scope = [code(scope_line(plan.scope)), ""] if plan.scope else []
    mark = marker(plan.stack, plan.scope.environment if plan.scope else None, of=verb)
    return [mark, f"### {code(plan.stack)}: {words}", "", *scope]


def _urls(report: Report) -> list[str]:
    """Return a link to where each app is called."""
    lines = []
    for app, urls in report.urls.items():
        shown = ", ".join(f"<{url}>" if re.fullmatch(_URL, url) else code(url) for url in urls)
        lines.append(f"- {code(app)}: {shown}")
    return [*lines, ""] if lines else []


def _red(lines: Iterable[str]) -> list[str]:
    kept, left_out = fitting((clean(line) for line in lines), _RED)
    return red([*kept, f"… and {len(left_out)} more"] if left_out else kept)


def _gone(entries: Iterable[Entry]) -> list[str]:
    """Return a line each that names the machines that were destroyed, and replaced."""
    lines = []
    for action, word in ((Action.DESTROY, "Destroyed"), (Action.REPLACE, "Replaced")):
        done = [entry for entry in entries if entry.status is Status.DONE and entry.action is action]
        slots = [entry.slot for entry in done if entry.address == entry.slot.address]
        named = [(code(found.address), found.size) for found in ranges_of(slots)]
        named += [(code(entry.address), 1) for entry in done if entry.address != entry.slot.address]
        if named:
            lines += [f"**{word}:** {first_of(named, _NAMED)}", ""]
    return lines


def _next(step: str | None) -> list[str]:
    word, _colon, words = step.partition(": ") if step else ("", "", "")
    return [f"**{word}:** {words}", ""] if step else []


def _pools(entries: Iterable[Entry]) -> list[str]:
    """Return a table of how the changes of each pool ended."""
    counts: dict[tuple[str, str], Counter[Status]] = {}
    for entry in entries:
        counts.setdefault((entry.slot.pool, entry.slot.app), Counter())[entry.status] += 1
    columns = [status for status in Status if any(found[status] for found in counts.values())]
    if not columns:
        return []
    return pool_table(columns, ((pool, app, [found[one] for one in columns]) for (pool, app), found in counts.items()))


def _log(address: str, unhealthy: Unhealthy) -> str:
    lines = log_lines(unhealthy)
    said = [pre(lines), ""] if lines else ["it said nothing, as far as its log tells", ""]
    return folded(f"<b>last lines</b> of {html_code(address)}", said)
