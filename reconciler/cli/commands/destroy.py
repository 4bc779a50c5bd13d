"""`reconciler destroy`: destroy every machine of this stack, and delete its apps."""

from functools import partial
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from reconciler.cli.ui import console
from reconciler.cli.ui.options import (
    Shared,
    events_option,
    json_into_option,
    selection_options,
    shared,
    shared_options,
    yes_option,
)
from reconciler.cli.ui.run_apply import carry_out_shown, finish, not_begun, run_ending_well
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.show_plan import show_first
from reconciler.cli.ui.side_files import Beside, beside
from reconciler.cli.ui.values import Duration
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop

_REFUSAL = "pass --yes to remove all machines of the stack without being asked"


@click.command("destroy")
@yes_option("Do not ask for the stack's name.")
@click.option("--wait-busy", type=Duration(), default="10m", metavar="10m", help="How long to wait for running tasks.")
@click.option("--force", is_flag=True, help="End running tasks instead of waiting for them.")
@click.option("--delete-apps", is_flag=True, help="Then delete the spec's apps too, if nothing else is in them.")
@events_option
@json_into_option
@selection_options
@shared_options
def command(
    is_agreed: bool, wait_busy: float, force: bool, delete_apps: bool, events: str | None, **_values: object
) -> int:
    """Destroy every machine that this stack owns, and nothing else.

    You confirm by typing the stack's name, or with --yes. With --delete-apps the apps of the spec are deleted too; of
    an environment those with its name in theirs. IP addresses and secrets go with their app. A plan is refused if an
    app has a machine of another owner, a volume or a certificate. Ends 0 also if nothing is there.
    """
    from reconciler.apply.retry_deferred import deferred_machines

    options = shared()
    if delete_apps and not options.selection.is_whole:
        raise click.UsageError(
            "--delete-apps removes whole apps, so it does not go with --only, --exclude and --region"
        )
    spec = load_spec(options)
    if not is_agreed:
        console.require_interactive(refusal=_REFUSAL)
    how = _How(is_agreed=is_agreed, wait_busy_s=wait_busy, force=force, with_apps=delete_apps)
    with beside(options, spec, events=events) as both:
        report = run_ending_well(partial(_destroy, options, both, spec, how))
        if report is None:
            return 1
        code = finish(report, options, both, verb="destroy")
    return 1 if code == 0 and deferred_machines(report) else code


class _How(Struct, frozen=True, kw_only=True):
    """How a stack is destroyed, and whether that is agreed to already."""

    is_agreed: bool
    wait_busy_s: float
    force: bool
    with_apps: bool


async def _destroy(options: Shared, both: Beside, spec: Spec, how: _How, stop: "Stop") -> Report | None:
    """Return the report, or None if nothing was destroyed.

    That is so if the user said no, or if what was observed is not enough to decide.
    """
    from reconciler.operations.destroy import propose_destroy

    async with open_session(options, resolve(options), console.say) as session:
        session = both.events.heard_in(session)
        proposal = await propose_destroy(
            session, spec, selection=options.selection, force=how.force, with_apps=how.with_apps
        )
        plan = proposal.plan
        both.events.plan(plan)
        # No hash: there is nothing that would take it. What there is nothing of is told by the report.
        show_first(plan, options, has_hash=False, is_summed_up=plan.has_changes or bool(plan.blocked))
        if proposal.obstacles:
            return not_begun(plan, proposal.obstacles, options, both, verb="destroy")
        if not how.is_agreed and not _is_confirmed(plan):
            return not_begun(plan, ("the plan was not confirmed",), options, both, verb="destroy")
        return await carry_out_shown(session, proposal, stop, wait_busy_s=how.wait_busy_s, doing="destroying")


def _is_confirmed(plan: Plan) -> bool:
    if not plan.has_changes:
        return True
    from reconciler.render.questions import destroy_question

    if console.ask_typed(destroy_question(plan), plan.stack, refusal=_REFUSAL):
        return True
    console.say("nothing was changed")
    return False
