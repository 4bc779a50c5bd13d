"""`reconciler drift`: what someone else changed since it was last applied."""

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import (
    Shared,
    json_into_option,
    selection_options,
    shared,
    shared_options,
    show_values_option,
)
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.show_plan import show
from reconciler.cli.ui.signals import run_async
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec


@click.command("drift")
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there is drift.")
@show_values_option
@json_into_option
@selection_options
@shared_options
def command(is_detailed: bool, shows_values: bool, **_values: object) -> int:
    """Show what differs from what was last applied, and what is known of who did it.

    What was changed in the spec since then is no drift: `reconciler plan` shows both. `apply --only-drift` puts back
    what someone else changed. Ends 0, or 1 for an error; with --detailed-exitcode 2 if there is drift.
    """
    options = shared()
    if shows_values:
        console.check_values_may_be_shown(options)
    spec = load_spec(options)
    plan = run_async(_drift(options, spec))
    show(plan, options, has_hash=False, shows_values=shows_values)
    if plan.blocked:
        return 1
    return 2 if is_detailed and not plan.is_settled else 0


async def _drift(options: Shared, spec: Spec) -> Plan:
    from reconciler.operations.drift import drift

    async with open_session(options, resolve(options), console.say) as session:
        return await drift(session, spec, selection=options.selection)
