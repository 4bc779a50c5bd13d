"""`reconciler show PLAN`: a saved plan again, in any format, offline."""

from pathlib import Path

import click

from reconciler.cli.ui.options import json_into_option, shared, shared_options
from reconciler.cli.ui.session import seen_from
from reconciler.cli.ui.show_plan import show


@click.command("show")
@click.argument("plan", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there are changes.")
@json_into_option
@shared_options
def command(plan: Path, is_detailed: bool, **_values: object) -> int:
    """Show the saved PLAN.

    Ends 0, or 1 for an error; with --detailed-exitcode 2 if there are changes.
    """
    from reconciler.operations import saved_plans

    options = shared()
    saved = saved_plans.read_plan(seen_from(options, plan))
    show(saved.plan, options, saved=saved, reads=[seen_from(options, plan)])
    return 2 if is_detailed and not saved.plan.is_settled else 0
