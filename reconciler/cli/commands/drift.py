"""`reconciler drift`: what someone else changed since it was last applied."""

from dataclasses import replace

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.images import observe_as_planned
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options, show_values_option
from reconciler.cli.ui.show_plan import show
from reconciler.cli.ui.signals import run_async
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec

_NO_BRAKE = 10_000


@click.command("drift")
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there is drift.")
@show_values_option
@shared_options
def command(is_detailed: bool, shows_values: bool, **_values: object) -> int:
    """Show what differs from what was last applied, field by field, and what is known of who did it.

    What the spec wants otherwise since then is no drift: `reconciler plan` shows both, and `apply --only-drift` puts
    back what someone else changed. Ends 0, 1 for an error, with --detailed-exitcode 2 where there is drift.
    """
    options = shared()
    if shows_values:
        console.check_values_may_be_shown(options)
    spec = spec_file.load(options)
    plan = run_async(_drift(options, spec))
    show(plan, options, has_hash=False, shows_values=shows_values)
    if plan.blocked:
        return 1
    return 2 if is_detailed and not plan.is_settled else 0


async def _drift(options: Shared, spec: Spec) -> Plan:
    from reconciler.machines_api.observe import observe_destroyed
    from reconciler.planner.drift import apps_to_look_at, with_drift, with_lost
    from reconciler.planner.planner import plan

    async with open_context(options, resolve(options), console.say) as context:
        pinned = await observe_as_planned(context, spec, {})
        observed = pinned.observed
        found = plan(pinned.spec, observed, only=options.only, allow_destroy=_NO_BRAKE)
        found = with_drift(with_lost(found, await observe_destroyed(context.client, apps_to_look_at(found))))
    # A name that is taken blocks an apply; it hides no drift of other machines. What was not observed does.
    unobserved = tuple(app for app in observed.apps.values() if app.unobserved)
    return found if unobserved else replace(found, blocked=(), warnings=(*found.warnings, *found.blocked))
