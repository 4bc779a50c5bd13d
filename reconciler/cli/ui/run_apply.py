"""What `apply` and `destroy` have in common: a plan is carried out, with signs of how far it is, and a report."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.cli.ui.options import Shared
from reconciler.cli.ui.progress import progress, words_of
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options
    from reconciler.slots.context import Context


async def carry_out(
    context: "Context",
    spec: Spec,
    plan: Plan,
    plan_again: Callable[[Observed], Plan],
    options: "Options",
    stop: "Stop",
    *,
    observed: Observed,
    wait_busy_s: float | None,
    may_do: Callable[[Plan], Plan] = lambda plan: plan,
    doing: str = "applying",
) -> Report:
    """Applies the plan of this snapshot, and shows how far it is; `doing` is the word for it.

    `may_do` leaves of a later plan what was approved. Where progress cannot be shown, nothing new begins and what is
    under way is finished.
    """
    import asyncio

    from reconciler.apply.eta import Forecast
    from reconciler.apply.retry_deferred import apply_patiently

    clock, pause_s = context.clock, context.client.creation_pause_s
    forecast = Forecast(plan.effective, creation_pause_s=pause_s, began=clock.monotonic())
    loop = asyncio.get_running_loop()
    stop.has_begun = True

    def begin_nothing_new() -> None:
        loop.call_soon_threadsafe(stop.interrupt)  # a bar is drawn by a thread

    with (
        streams.current().outlasted(begin_nothing_new),
        progress(forecast, clock, doing=doing) as (say, count),
    ):
        async with Heartbeat(lambda: words_of(forecast, clock)) as beats:
            return await apply_patiently(
                replace(context, emit=beats.heard(say)),
                spec,
                plan,
                plan_again,
                options,
                observed=observed,
                wait_busy_s=wait_busy_s,
                may_do=may_do,
                stop=stop,
                on_end=beats.heard(count),
            )


def ending_well(stop: "Stop") -> Callable[[], bool]:
    """What the first Ctrl-C does: it lets the changes under way finish. While nothing has begun it ends the command."""

    def ask() -> bool:
        if not stop.has_begun:
            return False
        console.say("interrupted: beginning nothing new, finishing what is under way; Ctrl-C again gives up")
        stop.interrupt()
        return True

    return ask


def finish(report: Report, options: Shared, *, verb: str = "apply") -> int:
    """Shows the report; the exit code that it means."""
    from reconciler.render.report import problems, report_json, report_text

    is_done = report.is_success and not report.interrupted
    streams.current().result = "the changes were made" if is_done else "run it again to go on"
    if options.is_json:
        console.print_json(report_json(report))
    else:
        console.print_text(report_text(report, color=console.is_coloured(options), verb=verb), is_safe=True)
    annotate(problems(report))
    if report.interrupted:
        return 130
    return 0 if is_done else 1


def not_begun(plan: Plan, why: tuple[str, ...], options: Shared) -> Report | None:
    """Programs get a report all the same; people were told already."""
    if options.is_json:
        return Report(plan=plan, entries=(), failures=why)
    annotate(why)
    return None
