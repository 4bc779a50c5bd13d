"""`reconciler apply`: plans, asks, makes it so, and tells what is true afterwards."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import saved_plan, spec_file
from reconciler.cli.approval import Review, objections_to, read_review
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.images import (
    Imaging,
    builder_option,
    mode_of,
    observe_as_planned,
    observe_pinned,
    push_to_option,
    pushed_to,
    resolve_option,
)
from reconciler.cli.revision import revision_of
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Duration, Shared, Text, shared, shared_options, show_values_option
from reconciler.cli.ui.run_apply import carry_out, ending_well, finish, not_begun
from reconciler.cli.ui.show_plan import show
from reconciler.cli.ui.signals import run_async
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options
    from reconciler.slots.context import Context

_REFUSAL = "pass --yes, or look first with `reconciler plan`"


@click.command("apply")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--expect-plan", type=Text(), metavar="sha256:…", help="Apply only the plan that has this hash.")
@click.option("-y", "--yes", "is_agreed", is_flag=True, help="Do not ask.")
@click.option("--allow-destroy", type=click.IntRange(min=0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--allow-rollback", is_flag=True, help="Apply a revision older than the one that was applied.")
@click.option("--revision", type=click.IntRange(min=0), metavar="N", help="The spec's revision. [default: HEAD's time]")
@click.option("--adopt", is_flag=True, help="Take over unmarked machines that have a slot's name.")
@click.option("--only-drift", is_flag=True, help="Only put back what someone else changed.")
@click.option("--wait-busy", type=Duration(), metavar="10m", help="Wait so long for runs in progress. [default: 0s]")
@click.option("--lock-timeout", type=Duration(), default="60s", metavar="60s", help="How long to wait for a lease.")
@click.option("--parallelism", type=click.IntRange(1, 100), default=10, metavar="10", help="How many changes at once.")
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after a failure.")
@resolve_option
@click.option("--build", "builds", is_flag=True, help="Build and push the spec's images first.")
@builder_option
@push_to_option
@show_values_option
@shared_options
def command(
    plan_file: Path | None,
    expect_plan: str | None,
    is_agreed: bool,
    allow_destroy: int | None,
    allow_rollback: bool,
    revision: int | None,
    adopt: bool,
    only_drift: bool,
    wait_busy: float | None,
    lock_timeout: float,
    parallelism: int,
    fail_fast: bool,
    resolve_mode: str | None,
    builds: bool,
    builder: str | None,
    push_to: str | None,
    shows_values: bool,
    **_values: object,
) -> int:
    """Make the spec true, after asking; or the saved PLAN, without: exactly that, or nothing.

    Ends 0 where all is done and was read back as such (deferred slots are listed), 1 otherwise, 130 when interrupted.
    """
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options

    shared_values = shared()
    if shows_values:
        console.check_values_may_be_shown(shared_values)
    spec = pushed_to(spec_file.load(shared_values), push_to)
    review = read_review(
        plan_file,
        expect_plan,
        shared_values,
        adopt=adopt,
        only_drift=only_drift,
        allow_destroy=allow_destroy,
        builds=builds,
    )
    is_agreed = is_agreed or review.is_consent
    if not is_agreed and not console.is_interactive():
        console.ask_typed("", "", refusal=_REFUSAL)
    if review.saved:
        adopt, allow_destroy = review.saved.adopt, review.saved.allow_destroy
        spec = spec_file.reduced(spec, shared_values.app or review.saved.app)
    stop = Stop()
    options = Options(
        only=review.saved.only if review.saved else shared_values.only,
        parallelism=parallelism,
        lock_timeout_s=lock_timeout,
        is_failing_fast=fail_fast,
        revision=revision_of(spec, revision),
        allow_rollback=allow_rollback,
        plan_sha256=review.sha256,
        only_drift=only_drift,
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
        review=review,
        shows_values=shows_values,
        imaging=Imaging(mode=resolve_mode or "", push_to=push_to, must_be_built=True, builds=builds, builder=builder),
    )
    report = run_async(work, on_first=ending_well(stop))
    return 1 if report is None else finish(report, shared_values)


async def _apply(
    shared_values: Shared,
    spec: Spec,
    options: "Options",
    stop: "Stop",
    *,
    is_agreed: bool,
    allow_destroy: int | None,
    adopt: bool,
    wait_busy_s: float | None,
    review: Review,
    shows_values: bool,
    imaging: Imaging,
) -> Report | None:
    """The report; None where the user said no, the plan is blocked, or it is not the one that was reviewed."""
    from functools import partial

    from reconciler.apply.follow_up import within
    from reconciler.planner.bookkeeping import last_plan
    from reconciler.planner.planner import plan as make_plan

    target = resolve(shared_values)
    if review.saved:
        saved_plan.check_origin(review.saved, spec, target)
    async with open_context(shared_values, target, console.say) as context:
        if review.saved or options.only_drift:
            pinned = await observe_as_planned(context, spec, review.saved.images if review.saved else {})
        else:
            how = replace(imaging, mode=mode_of(imaging.mode, target))
            pinned = await observe_pinned(context, spec, shared_values, target, how)
        plan_again: Callable[[Observed], Plan] = partial(
            make_plan,
            pinned.spec,
            only=options.only,
            allow_destroy=allow_destroy,
            revision=options.revision,
            allow_rollback=options.allow_rollback,
            adopt=adopt,
        )

        if options.only_drift:
            plan_again = await _drift_alone(context, plan_again, pinned.observed)
        plan = plan_again(pinned.observed)
        _show(plan, shared_values, shows_values=shows_values)
        if plan.blocked:
            return not_begun(plan, plan.blocked, shared_values)
        if objections := objections_to(review, plan, last_plan(spec, pinned.observed)):
            return not_begun(plan, objections, shared_values)
        if plan.has_changes and not is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return not_begun(plan, ("it was not agreed to",), shared_values)
        return await carry_out(
            context,
            pinned.spec,
            plan,
            plan_again,
            options,
            stop,
            observed=pinned.observed,
            wait_busy_s=wait_busy_s,
            may_do=partial(within, reviewed=plan) if review.is_consent else lambda later: later,
        )


async def _drift_alone(
    context: "Context", whole: Callable[[Observed], Plan], observed: Observed
) -> Callable[[Observed], Plan]:
    """Plans what puts back what someone else changed, machines that were destroyed among it."""
    from reconciler.machines_api.observe import observe_destroyed
    from reconciler.planner.drift import apps_to_look_at, only_drift, with_lost

    destroyed = await observe_destroyed(context.client, apps_to_look_at(whole(observed)))
    return lambda seen: only_drift(with_lost(whole(seen), destroyed))


def _show(plan: Plan, shared_values: Shared, *, shows_values: bool) -> None:
    """The plan; for programs, whose stdout is the report, its warnings alone."""
    if not shared_values.is_json:
        show(plan, shared_values, shows_values=shows_values)
        return
    for warning in plan.warnings:
        console.say(f"Warning: {warning}")


def _is_confirmed(plan: Plan) -> bool:
    return console.ask_typed(f"Apply this to {plan.stack}? Only yes is accepted:", "yes", refusal=_REFUSAL)
