"""`reconciler apply`: plan, ask, make the changes, and report what is there then."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.approvals import expect_plan_option, read_approvals
from reconciler.cli.ui.asked_apply import Asking, Work, apply_asked, end_dry, propose_dry
from reconciler.cli.ui.options import (
    Shared,
    builder_option,
    check_dry_run,
    dry_run_options,
    events_option,
    json_into_option,
    push_to_option,
    resolve_option,
    revision_options,
    selection_options,
    shared,
    shared_options,
    show_values_option,
    yes_option,
)
from reconciler.cli.ui.run_apply import finish, run_ending_well
from reconciler.cli.ui.session import check_revision, find_revision, load_spec, resolve, seen_from
from reconciler.cli.ui.side_files import beside
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Count, Duration
from reconciler.errors import UsageError
from reconciler.model.approval import Approval
from reconciler.operations.consent import Consent
from reconciler.operations.load import pushed_to, reduced

if TYPE_CHECKING:
    from reconciler.model.plan import SavedPlan

_NEEDS_REVISION = (
    "--expect-plan needs a revision, and none is known: pass --revision N, a number that grows with each change of the"
    " spec; or pass --no-revision, and an old approval can be applied again"
)


@click.command("apply")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@expect_plan_option("Apply")
@yes_option("Do not ask.")
@dry_run_options("Show what would be done, as `plan` does, and do nothing.")
@click.option("--allow-destroy", type=Count(0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--allow-rollback", is_flag=True, help="Apply a revision older than the one that was applied.")
@revision_options
@click.option("--adopt", is_flag=True, help="Take over unmarked machines that have a slot's name.")
@click.option("--prune-clones", is_flag=True, help="Destroy idle machines that were cloned from the stack's by hand.")
@click.option("--only-drift", is_flag=True, help="Only put back what someone else changed.")
@click.option("--wait-busy", type=Duration(), metavar="10m", help="Wait so long for runs in progress. [default: 0s]")
@click.option("--lock-timeout", type=Duration(), default="60s", metavar="60s", help="How long to wait for a lease.")
@click.option("--parallelism", type=Count(1, 100), default=10, metavar="10", help="How many changes at once.")
@click.option(
    "--superseded",
    type=click.Choice(["ok", "fail"]),
    default="ok",
    metavar="fail",
    help="End 1, not 0, if a newer revision than the reviewed plan's was applied already.",
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after a failure.")
@resolve_option
@click.option("--build", "builds", is_flag=True, help="Build and push the images that are not there yet, after asking.")
@builder_option
@push_to_option
@show_values_option
@events_option
@json_into_option
@selection_options
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
    prune_clones: bool,
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
    events: str | None,
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
    check_revision(revision, is_unfenced=is_unfenced)
    check_dry_run(is_dry, events, is_detailed=is_detailed)
    _check_alone(plan_file, options, [adopt, prune_clones, only_drift, allow_destroy is not None])
    approvals = tuple(one for text in expected for one in read_approvals(text, options))
    saved = _read_saved(plan_file, approvals, options) if plan_file else None
    spec = pushed_to(load_spec(options, environment=saved.environment if saved else None), push_to)
    consent = Consent(
        saved=saved,
        approvals=() if saved else approvals,
        allow_destroy=allow_destroy,
        allow_rollback=allow_rollback,
        adopt=adopt,
        prune_clones=prune_clones,
    )
    asking = Asking(
        options=options,
        is_agreed=is_agreed or is_dry or consent.is_reviewed,
        is_reviewed=consent.is_reviewed,
        shows_values=shows_values,
        fails_if_superseded=superseded == "fail",
    )
    asking.require_someone()
    if consent.saved:
        spec = reduced(spec, options.app or consent.saved.app)
    found = find_revision(options, spec, revision, is_unfenced=is_unfenced)
    if consent.approvals and found.revision is None and not is_unfenced:
        raise click.UsageError(_NEEDS_REVISION)
    spec = found.told_by(spec)
    how = Options(
        selection=options.selection,
        parallelism=parallelism,
        lock_timeout_s=lock_timeout,
        is_failing_fast=fail_fast,
        revision=found.revision,
        only_drift=only_drift,
    )
    images = ImagePolicy(push_to=push_to, builds=builds, builder=builder)
    work = Work(spec=spec, consent=consent, how=how, images=images, resolve_mode=resolve_mode, wait_busy_s=wait_busy)
    if is_dry:
        return end_dry(asking, run_async(propose_dry(asking, resolve(options), work)), is_detailed)
    with beside(options, spec, events=events, plan_file=plan_file and seen_from(options, plan_file)) as both:
        report = run_ending_well(partial(apply_asked, asking, both, resolve(options), work))
        return 1 if report is None else finish(report, options, both)


def _check_alone(plan_file: Path | None, options: Shared, others: list[bool]) -> None:
    """Raise UsageError if the command line contradicts itself.

    `others` are flags that cannot be combined with a saved plan.
    """
    if plan_file is not None and (not options.selection.is_whole or any(others)):
        said = "--only, --exclude, --region, --adopt, --prune-clones, --only-drift and --allow-destroy"
        raise click.UsageError(f"{said} do not go with a saved plan")


def _read_saved(plan_file: Path, expected: tuple[Approval, ...], options: Shared) -> "SavedPlan":
    """Return the saved plan.

    Raises UsageError if the file is no saved plan, or not a plan that was expected.
    """
    from reconciler.operations import saved_plans

    saved = saved_plans.read_plan(seen_from(options, plan_file))
    hashes = [one.plan_sha256 for one in expected]
    if hashes and saved.plan_sha256 not in hashes:
        why = f"{plan_file} is the plan {saved.plan_sha256}, not {', '.join(hashes)}"
        raise UsageError(why, hint=f"`reconciler show {plan_file}` shows it; pass its hash if that is meant")
    return saved
