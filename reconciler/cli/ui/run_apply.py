"""What `apply` and `destroy` share: carry out a plan, show progress, and report."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.cli.ui.options import Shared
from reconciler.cli.ui.progress import progress, words_of
from reconciler.cli.ui.side_files import Beside, write_document
from reconciler.cli.ui.signals import run_async
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.revision import Revision

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.operations.apply import Proposal
    from reconciler.operations.session import Session


async def carry_out_shown(
    session: "Session",
    proposal: "Proposal",
    stop: "Stop",
    *,
    wait_busy_s: float | None,
    doing: str = "applying",
) -> Report:
    """Carry out what was agreed to, and show progress; `doing` is the word for it.

    If progress cannot be shown, nothing new begins and what is under way is finished.
    """
    import asyncio

    from reconciler.apply.eta import Forecast
    from reconciler.operations import apply

    context = session.context
    clock, pause_s = context.clock, context.client.creation_pause_s
    forecast = Forecast(proposal.plan.effective, creation_pause_s=pause_s, began=clock.monotonic())
    loop = asyncio.get_running_loop()
    stop.has_begun = True

    def begin_nothing_new() -> None:
        loop.call_soon_threadsafe(stop.interrupt)  # a bar is drawn by a thread

    with (
        streams.current().outlasted(begin_nothing_new),
        progress(forecast, clock, doing=doing) as (say, count),
    ):
        async with Heartbeat(lambda: words_of(forecast, clock)) as beats:
            return await apply.carry_out(
                replace(session, context=replace(context, emit=beats.heard(say))),
                proposal,
                wait_busy_s=wait_busy_s,
                stop=stop,
                on_end=beats.heard(count),
            )


def run_ending_well(work: "Callable[[Stop], Coroutine[Any, Any, Report | None]]") -> Report | None:
    """Return what the work returns; the first Ctrl-C lets changes under way finish.

    If no change has begun, the first Ctrl-C ends the command.
    """
    from reconciler.apply.executor import Stop

    stop = Stop()

    def ask() -> bool:
        if not stop.has_begun:
            return False
        console.say("interrupted: beginning nothing new, finishing what is under way; Ctrl-C again gives up")
        stop.interrupt()
        return True

    return run_async(work(stop), on_first=ask)


def finish(report: Report, options: Shared, both: Beside | None, *, verb: str = "apply") -> int:
    """Show the report, here and beside, and return the exit code that it means."""
    from reconciler.render.report import problems, report_json, report_text

    if both:
        both.end(report)
    else:
        write_document(options, report_json(report))
    is_done = report.is_success and not report.interrupted
    streams.current().result = "the changes were made" if is_done else "run it again to go on"
    if options.is_json:
        console.print_json(report_json(report))
    elif options.output == "markdown":
        from reconciler.render.report_markdown import report_markdown

        console.print_text(report_markdown(report, verb).rstrip("\n"), is_safe=True)
    else:
        text = report_text(report, color=console.is_coloured(options), verb=verb, width=console.line_width())
        console.print_text(text, is_safe=True)
    annotate(problems(report))
    if report.interrupted:
        return 130
    return 0 if is_done else 1


def superseded_report(plan: Plan, newer: Revision, *, fails: bool) -> Report:
    """Return the report of a reviewed plan that a newer revision has superseded.

    That is no failure, unless the user said so.
    """
    from reconciler.render.report import superseded_words

    return Report(plan=plan, entries=(), superseded_by=newer, failures=(superseded_words(newer),) if fails else ())


def failing_if_superseded(report: Report) -> Report:
    """Return the report of an apply that fails if a newer revision superseded it."""
    from reconciler.render.report import superseded_meanwhile_words

    if report.superseded_by is None:
        return report
    return replace(report, failures=(*report.failures, superseded_meanwhile_words(report.superseded_by)))


def tell_objections(proposal: "Proposal") -> None:
    """Say why what is due may not be done, if it may not."""
    if proposal.objections:
        why = "\n".join(f"  {reason}" for reason in proposal.objections)
        console.say(f"error: what is due was not all approved; nothing was changed\n{why}\n  plan again")


def not_begun(plan: Plan, why: tuple[str, ...], options: Shared, both: Beside, *, verb: str = "apply") -> Report | None:
    """Say what to do next, as nothing was begun. Return a report for programs.

    People have read the reason already.
    """
    report = Report(plan=plan, entries=(), failures=why)
    both.end(report)
    if options.is_json:
        return report
    if options.output == "markdown":
        from reconciler.render.report_markdown import refusal_markdown

        console.print_text(refusal_markdown(plan, why, verb).rstrip("\n"), is_safe=True)
    elif plan.blocked:
        from reconciler.render.next_steps import after_refusal

        console.say(after_refusal(plan, verb))
    annotate(why)
    return None
