"""`reconciler release`: take our marks off the stack's machines, which go on."""

from functools import partial
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli.ui import console
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.approvals import expect_plan_option, read_approvals
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import (
    Shared,
    check_dry_run,
    dry_run_options,
    events_option,
    json_into_option,
    selection_options,
    shared,
    shared_options,
    yes_option,
)
from reconciler.cli.ui.run_apply import carry_out_shown, finish, not_begun, run_ending_well, tell_objections
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.show_plan import show, show_first
from reconciler.cli.ui.side_files import Beside, beside
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Duration, Text
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop

_REFUSAL = "pass --yes, or look first with `reconciler release --dry-run`"


@click.command("release")
@click.argument("pools", metavar="[POOL]...", nargs=-1, type=Text(), shell_complete=completes("pools"))
@yes_option("Do not ask.")
@expect_plan_option("Release")
@dry_run_options("Show what would be released, as `plan` does, and do nothing.")
@click.option("--wait-busy", type=Duration(), default="10m", metavar="10m", help="How long to wait for running tasks.")
@events_option
@json_into_option
@selection_options
@shared_options
def command(
    pools: tuple[str, ...],
    expected: tuple[str, ...],
    is_agreed: bool,
    is_dry: bool,
    is_detailed: bool,
    wait_busy: float,
    events: str | None,
    **_values: object,
) -> int:
    """Take the stack's marks off its machines, or off those of some pools.

    The machines go on as they are, and belong to no stack: another tool may have them, and `apply --adopt` takes them
    back. Nothing is restarted. A run in progress is waited for.
    """
    from reconciler.apply.retry_deferred import deferred_machines

    options = shared()
    check_dry_run(is_dry, events, is_detailed=is_detailed)
    only = tuple(dict.fromkeys((*options.selection.only, *pools)))
    options = replace(options, selection=replace(options.selection, only=only))
    spec = load_spec(options)
    consent = Consent(approvals=tuple(one for text in expected for one in read_approvals(text, options)))
    if is_dry:
        return run_async(_dry(options, spec, consent, is_detailed=is_detailed))
    how = _How(consent=consent, is_agreed=is_agreed or consent.is_reviewed, wait_busy_s=wait_busy)
    if not how.is_agreed:
        console.require_interactive(refusal=_REFUSAL)
    with beside(options, spec, events=events) as both:
        report = run_ending_well(partial(_release, options, both, spec, how))
        if report is None:
            return 1
        code = finish(report, options, both, verb="release")
    return 1 if code == 0 and deferred_machines(report) else code


class _How(Struct, frozen=True, kw_only=True):
    """What was approved, and whether it is agreed to already."""

    consent: Consent
    is_agreed: bool
    wait_busy_s: float


async def _dry(options: Shared, spec: Spec, consent: Consent, *, is_detailed: bool) -> int:
    from reconciler.operations.release import propose_release

    async with open_session(options, resolve(options), console.say) as session:
        proposal = await propose_release(session, spec, consent, selection=options.selection)
    show(proposal.plan, options)
    tell_objections(proposal)
    annotate(proposal.obstacles)
    if proposal.obstacles:
        return 1
    return 2 if is_detailed and not proposal.plan.is_settled else 0


async def _release(options: Shared, both: Beside, spec: Spec, how: _How, stop: "Stop") -> Report | None:
    """Return the report, or None if nothing was released.

    That is so if the user said no, or if what is due may not be done.
    """
    from reconciler.operations.release import propose_release

    async with open_session(options, resolve(options), console.say) as session:
        session = both.events.heard_in(session)
        proposal = await propose_release(session, spec, how.consent, selection=options.selection)
        plan = proposal.plan
        both.events.plan(plan)
        show_first(plan, options, is_summed_up=plan.has_changes or bool(plan.blocked))
        tell_objections(proposal)
        if proposal.obstacles:
            return not_begun(plan, proposal.obstacles, options, both, verb="release")
        if plan.has_changes and not how.is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return not_begun(plan, ("the plan was not confirmed",), options, both, verb="release")
        return await carry_out_shown(session, proposal, stop, wait_busy_s=how.wait_busy_s, doing="releasing")


def _is_confirmed(plan: Plan) -> bool:
    from reconciler.render.questions import release_question

    return console.ask_typed(release_question(plan), "yes", refusal=_REFUSAL)
