"""`reconciler apply`: plan, ask, make the changes, and report what is there then."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.options import (
    Duration,
    Shared,
    Text,
    builder_option,
    check_detailed,
    push_to_option,
    resolve_mode_of,
    resolve_option,
    revision_options,
    shared,
    shared_options,
    show_values_option,
    yes_option,
)
from reconciler.cli.ui.run_apply import (
    carry_out_shown,
    finish,
    not_begun,
    not_begun_any_more,
    run_ending_well,
    tell_objections,
)
from reconciler.cli.ui.session import check_revision, find_revision, load_spec, open_session, resolve, seen_from
from reconciler.cli.ui.show_plan import say, show, where_asked
from reconciler.cli.ui.signals import run_async
from reconciler.errors import UsageError
from reconciler.model.approval import Approval
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent
from reconciler.operations.load import pushed_to, reduced

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options
    from reconciler.model.plan import SavedPlan
    from reconciler.operations.apply import Proposal
    from reconciler.operations.images import ImagePolicy
    from reconciler.targets import Target

_NEEDS_REVISION = (
    "--expect-plan needs a revision, and none is known: pass --revision N, a number that grows with each change of the"
    " spec; or pass --no-revision, and an old approval can be applied again"
)
_REFUSAL = "pass --yes, or look first with `reconciler plan`"


@click.command("apply")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--expect-plan",
    "expected",
    type=Text(),
    multiple=True,
    metavar="sha256:…",
    help="Apply only what was approved: a plan's hash, the set of its changes, or @FILE. May be repeated.",
)
@yes_option("Do not ask.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be done, as `plan` does, and do nothing.")
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="With --dry-run: end with 2 for changes.")
@click.option("--allow-destroy", type=click.IntRange(min=0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--allow-rollback", is_flag=True, help="Apply a revision older than the one that was applied.")
@revision_options
@click.option("--adopt", is_flag=True, help="Take over unmarked machines that have a slot's name.")
@click.option("--only-drift", is_flag=True, help="Only put back what someone else changed.")
@click.option("--wait-busy", type=Duration(), metavar="10m", help="Wait so long for runs in progress. [default: 0s]")
@click.option("--lock-timeout", type=Duration(), default="60s", metavar="60s", help="How long to wait for a lease.")
@click.option("--parallelism", type=click.IntRange(1, 100), default=10, metavar="10", help="How many changes at once.")
@click.option(
    "--superseded",
    type=click.Choice(["ok", "fail"]),
    default="ok",
    metavar="fail",
    help="End 1, not 0, if a newer revision than the reviewed plan's was applied already.",
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after a failure.")
@resolve_option
@click.option("--build", "builds", is_flag=True, help="Build and push the spec's images first.")
@builder_option
@push_to_option
@show_values_option
@shared_options
def command(
    plan_file: Path | None,
    expected: tuple[str, ...],
    is_agreed: bool,
    is_dry: bool,
    is_detailed: bool,
    allow_destroy: int | None,
    allow_rollback: bool,
    revision: int | None,
    is_unfenced: bool,
    adopt: bool,
    only_drift: bool,
    wait_busy: float | None,
    lock_timeout: float,
    parallelism: int,
    superseded: str,
    fail_fast: bool,
    resolve_mode: str | None,
    builds: bool,
    builder: str | None,
    push_to: str | None,
    shows_values: bool,
    **_values: object,
) -> int:
    """Make the spec true after asking, or do what is left of a saved PLAN.

    A saved plan, and what --expect-plan names, is applied without asking. Ends 0 if all changes are done and were read
    back as such (deferred slots are listed), or nothing is left of the plan; 1 otherwise, 130 when interrupted. With
    --dry-run it asks nothing, writes nothing, and ends as `plan` does; what an apply would refuse ends 1.
    """
    from reconciler.apply.options import Options
    from reconciler.operations.images import ImagePolicy

    options = shared()
    if shows_values:
        console.check_values_may_be_shown(options)
    check_detailed(is_dry, is_detailed=is_detailed)
    check_revision(revision, is_unfenced=is_unfenced)
    _check_alone(plan_file, options, [adopt, only_drift, allow_destroy is not None, builds])
    approvals = tuple(one for text in expected for one in _read_approvals(text, options))
    saved = _read_saved(plan_file, approvals, options) if plan_file else None
    spec = pushed_to(load_spec(options, environment=saved.environment if saved else None), push_to)
    consent = Consent(
        saved=saved,
        approvals=() if saved else approvals,
        allow_destroy=allow_destroy,
        allow_rollback=allow_rollback,
        adopt=adopt,
    )
    asking = _Asking(
        options=options,
        is_agreed=is_agreed or is_dry or consent.is_reviewed,
        is_reviewed=consent.is_reviewed,
        shows_values=shows_values,
        fails_if_superseded=superseded == "fail",
    )
    asking.require_someone()
    if consent.saved:
        spec = reduced(spec, options.app or consent.saved.app)
    found = find_revision(spec, revision, is_unfenced=is_unfenced)
    if consent.approvals and found.revision is None and not is_unfenced:
        raise click.UsageError(_NEEDS_REVISION)
    spec = found.told_by(spec)
    how = Options(
        only=options.only,
        parallelism=parallelism,
        lock_timeout_s=lock_timeout,
        is_failing_fast=fail_fast,
        revision=found.revision,
        is_unfenced=is_unfenced,
        only_drift=only_drift,
    )
    target = resolve(options)
    images = ImagePolicy(push_to=push_to, must_be_built=True, builds=builds, builder=builder)
    if not (consent.saved or only_drift):  # which look nothing up
        images = replace(images, mode=resolve_mode_of(resolve_mode, target))
    if is_dry:
        return _end_dry(asking, run_async(_propose(asking, target, spec, consent, how, images)), is_detailed)
    report = run_ending_well(partial(_apply, asking, target, spec, consent, how, images, wait_busy_s=wait_busy))
    return 1 if report is None else finish(report, options)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """How the plan is shown, and whether it is agreed to already."""

    options: Shared
    is_agreed: bool
    is_reviewed: bool
    shows_values: bool
    fails_if_superseded: bool

    def require_someone(self) -> None:
        """Raise UsageError if it is not agreed to, and there is nobody to ask."""
        if not self.is_agreed:
            console.require_interactive(refusal=_REFUSAL)


def _read_approvals(text: str, options: Shared) -> tuple[Approval, ...]:
    """Return what one --expect-plan approves. Raises UsageError."""
    from reconciler.operations.approvals import approvals_of, read_approvals

    try:
        if text.startswith("@"):
            return read_approvals(seen_from(options, Path(text[1:])))
        return approvals_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect-plan") from error


def _check_alone(plan_file: Path | None, options: Shared, others: list[bool]) -> None:
    """Raise UsageError if the command line contradicts itself.

    `others` are flags that cannot be combined with a saved plan.
    """
    if plan_file is not None and (options.only or any(others)):
        said = "--only, --adopt, --only-drift, --allow-destroy and --build do not go with a saved plan"
        raise click.UsageError(said)


def _read_saved(plan_file: Path, expected: tuple[Approval, ...], options: Shared) -> "SavedPlan":
    """Return the saved plan.

    Raises UsageError if the file is no saved plan, or not a plan that was expected.
    """
    from reconciler.operations import saved_plans

    saved = saved_plans.read_plan(seen_from(options, plan_file))
    hashes = [one.plan_sha256 for one in expected]
    if hashes and saved.plan_sha256 not in hashes:
        raise UsageError(f"{plan_file} is the plan {saved.plan_sha256}, not {', '.join(hashes)}")
    return saved


async def _propose(
    asking: _Asking, target: "Target", spec: Spec, consent: Consent, how: "Options", images: "ImagePolicy"
) -> "Proposal":
    """Return what would be done; nothing is built for it."""
    from reconciler.operations.apply import propose_apply

    images = replace(images, builds=False, must_be_built=False)
    async with open_session(asking.options, target, console.say) as session:
        return await propose_apply(session, spec, consent, how, images=images)


def _end_dry(asking: _Asking, proposal: "Proposal", is_detailed: bool) -> int:
    """Show what would be done, and return the exit code of a dry run."""
    plan = proposal.plan
    if asking.is_reviewed and (newer := plan.superseded_by):
        return finish(not_begun_any_more(plan, newer, fails=asking.fails_if_superseded), asking.options)
    show(plan, asking.options, shows_values=asking.shows_values)
    tell_objections(proposal)
    annotate(proposal.obstacles)
    if proposal.objections or not plan.is_reviewable:
        return 1
    return 2 if is_detailed and not plan.is_settled else 0


async def _apply(
    asking: _Asking,
    target: "Target",
    spec: Spec,
    consent: Consent,
    how: "Options",
    images: "ImagePolicy",
    stop: "Stop",
    *,
    wait_busy_s: float | None,
) -> Report | None:
    """Return the report, or None if nothing was applied.

    That is so if the user said no, the plan is blocked, or it is not the plan that was reviewed.
    """
    from reconciler.operations.apply import propose_apply

    options = asking.options
    async with open_session(options, target, console.say) as session:
        proposal = await propose_apply(session, spec, consent, how, images=images)
        plan = proposal.plan
        if consent.is_reviewed and plan.superseded_by:
            return not_begun_any_more(plan, plan.superseded_by, fails=asking.fails_if_superseded)
        _show(plan, options, shows_values=asking.shows_values)
        tell_objections(proposal)
        if proposal.obstacles:
            return not_begun(plan, proposal.obstacles, options)
        if plan.has_changes and not asking.is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return not_begun(plan, ("the plan was not confirmed",), options)
        return await carry_out_shown(session, proposal, stop, wait_busy_s=wait_busy_s)


def _show(plan: Plan, options: Shared, *, shows_values: bool) -> None:
    """Show the plan; for programs only its warnings, since stdout is for the report."""
    if not options.is_json:
        say(plan) if options.output == "markdown" else show(plan, options, shows_values=shows_values)
        return
    for warning in plan.warnings:
        console.say(f"Warning: {warning}")


def _is_confirmed(plan: Plan) -> bool:
    return console.ask_typed(f"{where_asked(plan)}\nApply this? Only yes is accepted:", "yes", refusal=_REFUSAL)
