"""`reconciler apply`: plans, asks, makes it so, and tells what is true afterwards."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli import console, spec_file
from reconciler.cli.interrupt import run_async
from reconciler.cli.options import Duration, Shared, shared, shared_options
from reconciler.cli.plan import show
from reconciler.cli.revision import revision_of
from reconciler.cli.target import open_actor, resolve
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options

_REFUSAL = "pass --yes, or look first with `reconciler plan`"


@click.command("apply")
@click.option("-y", "--yes", "is_agreed", is_flag=True, help="Do not ask.")
@click.option("--allow-destroy", type=click.IntRange(min=0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--allow-rollback", is_flag=True, help="Apply a revision older than the one that was applied.")
@click.option("--revision", type=click.IntRange(min=0), metavar="N", help="The spec's revision. [default: HEAD's time]")
@click.option("--adopt", is_flag=True, help="Take over unmarked machines that have a slot's name.")
@click.option("--wait-busy", type=Duration(), default="0s", metavar="10m", help="Wait so long for runs in progress.")
@click.option("--lock-timeout", type=Duration(), default="60s", metavar="60s", help="How long to wait for a lease.")
@click.option("--parallelism", type=click.IntRange(1, 100), default=10, metavar="10", help="How many changes at once.")
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after a failure.")
@shared_options
def command(
    is_agreed: bool,
    allow_destroy: int | None,
    allow_rollback: bool,
    revision: int | None,
    adopt: bool,
    wait_busy: float,
    lock_timeout: float,
    parallelism: int,
    fail_fast: bool,
    **_values: object,
) -> int:
    """Make the spec true, after asking.

    Ends 0 where all is done and was read back as such (deferred slots are listed), 1 otherwise, 130 when interrupted.
    """
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options

    shared_values = shared()
    spec = spec_file.load(shared_values)
    if not is_agreed and not console.is_interactive():
        console.ask_typed("", "", refusal=_REFUSAL)
    stop = Stop()

    def on_first() -> None:
        console.say("interrupted: beginning nothing new, finishing what is under way; Ctrl-C again gives up")
        stop.interrupt()

    options = Options(
        only=shared_values.only,
        parallelism=parallelism,
        lock_timeout_s=lock_timeout,
        is_failing_fast=fail_fast,
        revision=revision_of(spec, revision),
        allow_rollback=allow_rollback,
    )
    work = _apply(
        shared_values,
        spec,
        options,
        stop,
        is_agreed=is_agreed,
        allow_destroy=allow_destroy,
        adopt=adopt,
        wait_busy_s=wait_busy,
    )
    report = run_async(work, on_first=on_first)
    return 1 if report is None else finish(report, shared_values)


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
    shared_values: Shared,
    spec: Spec,
    options: "Options",
    stop: "Stop",
    *,
    is_agreed: bool,
    allow_destroy: int | None,
    adopt: bool,
    wait_busy_s: float,
) -> Report | None:
    """The report; None where the user said no, or the plan is blocked."""
    from functools import partial

    from reconciler.apply.patient import apply_patiently
    from reconciler.machines_api.observe import observe
    from reconciler.planner import plan as make_plan

    plan_again = partial(
        make_plan,
        spec,
        only=options.only,
        allow_destroy=allow_destroy,
        revision=options.revision,
        allow_rollback=options.allow_rollback,
        adopt=adopt,
    )
    async with open_actor(shared_values, resolve(shared_values), console.say) as actor:
        plan = plan_again(await observe(actor.client, [app.name for app in spec.apps], clock=actor.clock))
        if plan.blocked or not shared_values.is_json:
            show(plan, shared_values)
        if plan.blocked:
            return None
        if plan.has_changes and not is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return None
        with console.progress(len(plan.effective)) as (say, count):
            acting = replace(actor, emit=say)
            return await apply_patiently(
                acting, spec, plan, plan_again, options, wait_busy_s=wait_busy_s, stop=stop, on_end=count
            )


def _is_confirmed(plan: Plan) -> bool:
    return console.ask_typed(f"Apply this to {plan.stack}? Only yes is accepted:", "yes", refusal=_REFUSAL)
