"""`reconciler apply`: plans, asks, makes it so, and tells what is true afterwards."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli import console, spec_file
from reconciler.cli.interrupt import run_async
from reconciler.cli.options import Duration, Shared, shared, shared_options
from reconciler.cli.plan import show
from reconciler.cli.target import open_actor, resolve
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop

_REFUSAL = "pass --yes, or look first with `reconciler plan`"


@click.command("apply")
@click.option("-y", "--yes", "is_agreed", is_flag=True, help="Do not ask.")
@click.option("--allow-destroy", type=click.IntRange(min=0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--lock-timeout", type=Duration(), default="60s", metavar="60s", help="How long to wait for a lease.")
@click.option("--parallelism", type=click.IntRange(1, 100), default=10, metavar="10", help="How many changes at once.")
@shared_options
def command(
    is_agreed: bool, allow_destroy: int | None, lock_timeout: float, parallelism: int, **_values: object
) -> int:
    """Make the spec true, after asking.

    Ends 0 where all is done and was read back as such (deferred slots are listed), 1 otherwise, 130 when interrupted.
    """
    from reconciler.apply.executor import Stop

    options = shared()
    spec = spec_file.load(options)
    if not is_agreed and not console.is_interactive():
        console.ask_typed("", "", refusal=_REFUSAL)
    stop = Stop()

    def on_first() -> None:
        console.say("interrupted: beginning nothing new, finishing what is under way; Ctrl-C again gives up")
        stop.request()

    work = _apply(
        options,
        spec,
        stop,
        is_agreed=is_agreed,
        allow_destroy=allow_destroy,
        lock_timeout_s=lock_timeout,
        parallelism=parallelism,
    )
    report = run_async(work, on_first=on_first)
    return 1 if report is None else finish(report, options)


def finish(report: Report, options: Shared) -> int:
    """Shows the report; the exit code that it means."""
    from reconciler.render import report_json, report_text

    if options.is_json:
        console.print_json(report_json(report))
    else:
        console.print_text(report_text(report, color=console.is_coloured(options)))
    if report.interrupted:
        return 130
    return 0 if report.is_success else 1


async def _apply(
    options: Shared,
    spec: Spec,
    stop: "Stop",
    *,
    is_agreed: bool,
    allow_destroy: int | None,
    lock_timeout_s: float,
    parallelism: int,
) -> Report | None:
    """The report; None where the user said no, or the plan is blocked."""
    from reconciler.apply.apply import apply
    from reconciler.machines_api.observe import observe
    from reconciler.planner import plan as make_plan

    async with open_actor(options, resolve(options), console.say) as actor:
        observed = await observe(actor.client, [app.name for app in spec.apps], clock=actor.clock)
        plan = make_plan(spec, observed, only=options.only, allow_destroy=allow_destroy)
        if plan.blocked or not options.is_json:
            show(plan, options)
        if plan.blocked:
            return None
        if plan.has_changes and not is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return None
        with console.progress(len(plan.effective)) as (say, count):
            return await apply(
                replace(actor, emit=say),
                spec,
                plan,
                parallelism=parallelism,
                lock_timeout_s=lock_timeout_s,
                only=options.only,
                stop=stop,
                on_end=count,
            )


def _is_confirmed(plan: Plan) -> bool:
    return console.ask_typed(f"Apply this to {plan.stack}? Only yes is accepted:", "yes", refusal=_REFUSAL)
