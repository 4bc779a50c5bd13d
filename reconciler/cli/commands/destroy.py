"""`reconciler destroy`: removes every machine that this stack owns, and nothing else. Apps are kept."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Duration, Shared, shared, shared_options
from reconciler.cli.ui.run_apply import carry_out, ending_well, finish, not_begun
from reconciler.cli.ui.show_plan import show
from reconciler.cli.ui.signals import run_async
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop

_REFUSAL = "pass --yes to remove all machines of the stack without being asked"
_NO_BRAKE = 10_000_000  # the typed name is the consent


@click.command("destroy")
@click.option("-y", "--yes", "is_agreed", is_flag=True, help="Do not ask for the stack's name.")
@click.option("--wait-busy", type=Duration(), default="10m", metavar="10m", help="How long to wait for running tasks.")
@click.option("--force", is_flag=True, help="End running tasks instead of waiting for them.")
@shared_options
def command(is_agreed: bool, wait_busy: float, force: bool, **_values: object) -> int:
    """Remove every machine that this stack owns, after the stack's name was typed. Apps are never deleted."""
    from reconciler.apply.executor import Stop
    from reconciler.apply.retry_deferred import deferred_machines

    options = shared()
    spec = _emptied(spec_file.load(options))
    if not is_agreed and not console.is_interactive():
        console.ask_typed("", "", refusal=_REFUSAL)
    stop = Stop()
    work = _destroy(options, spec, stop, is_agreed=is_agreed, wait_busy_s=wait_busy, force=force)
    report = run_async(work, on_first=ending_well(stop))
    if report is None:
        return 1
    code = finish(report, options, verb="destroy")
    return 1 if code == 0 and deferred_machines(report) else code


def _emptied(spec: Spec) -> Spec:
    """The same stack, wanting no machine; the pools stay, since they tell services from tasks."""
    apps = tuple(replace(app, pools=tuple(replace(pool, counts={}) for pool in app.pools)) for app in spec.apps)
    return replace(spec, apps=apps)


async def _destroy(
    options: Shared, spec: Spec, stop: "Stop", *, is_agreed: bool, wait_busy_s: float, force: bool
) -> Report | None:
    """The report; None where the user said no, or nothing may be concluded from what was observed."""
    from reconciler.apply.options import Options
    from reconciler.machines_api.observe import observe
    from reconciler.planner.planner import plan as make_plan

    def plan_again(observed: Observed) -> Plan:
        return _with_reason(make_plan(spec, observed, only=options.only, allow_destroy=_NO_BRAKE))

    async with open_context(options, resolve(options), console.say) as context:
        observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
        plan = plan_again(observed)
        if not options.is_json:
            show(plan, options)
        if plan.blocked:
            return not_begun(plan, plan.blocked, options)
        if not is_agreed and not _is_confirmed(spec, bool(plan.effective)):
            return not_begun(plan, ("it was not agreed to",), options)
        how = Options(only=options.only, force=force, allow_rollback=True, verb="destroy")
        return await carry_out(
            context, spec, plan, plan_again, how, stop, observed=observed, wait_busy_s=wait_busy_s, doing="destroying"
        )


def _with_reason(plan: Plan) -> Plan:
    """The plan, with the true reason: not the spec's counts, but this command."""
    return replace(plan, changes=tuple(replace(change, reason="destroy") for change in plan.changes))


def _is_confirmed(spec: Spec, has_changes: bool) -> bool:
    if not has_changes:
        return True
    question = f"This removes all of the above. Type the stack's name ({spec.stack}) to go on:"
    if console.ask_typed(question, spec.stack, refusal=_REFUSAL):
        return True
    console.say("nothing was changed")
    return False
