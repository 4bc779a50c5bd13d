"""`reconciler plan`: what an apply would change. Reads, never writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.options import (
    Shared,
    json_into_option,
    push_to_option,
    resolve_mode_of,
    resolve_option,
    revision_options,
    selection_options,
    shared,
    shared_options,
    show_values_option,
)
from reconciler.cli.ui.session import check_revision, find_revision, load_spec, open_session, resolve, seen_from
from reconciler.cli.ui.show_plan import show
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Count

if TYPE_CHECKING:
    from reconciler.model.plan import Plan
    from reconciler.model.revision import Revision
    from reconciler.model.spec import Spec
    from reconciler.operations.images import ImagePolicy, LookedUp
    from reconciler.targets import Target


@click.command("plan")
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there are changes.")
@click.option("--allow-destroy", type=Count(0), metavar="N", help="Accept the loss of up to N machines.")
@click.option("--adopt", is_flag=True, help="Take over unmarked machines that have a slot's name.")
@click.option("--prune-clones", is_flag=True, help="Destroy idle machines that were cloned from the stack's by hand.")
@revision_options
@click.option("--out", "out", type=click.Path(path_type=Path), metavar="FILE", help="Save the plan.")
@resolve_option
@push_to_option
@show_values_option
@json_into_option
@selection_options
@shared_options
def command(
    is_detailed: bool,
    allow_destroy: int | None,
    adopt: bool,
    prune_clones: bool,
    revision: int | None,
    is_unfenced: bool,
    out: Path | None,
    resolve_mode: str | None,
    push_to: str | None,
    shows_values: bool,
    **_values: object,
) -> int:
    """Show what an apply would change.

    Ends 0, or 1 for an error; with --detailed-exitcode 2 if there are changes. A plan that lacks nothing but
    --allow-destroy ends so too, and is saved.
    """
    from reconciler.operations.images import ImagePolicy
    from reconciler.operations.load import pushed_to

    options = shared()
    out = seen_from(options, out) if out is not None else None
    if shows_values:
        console.check_values_may_be_shown(options)
    check_revision(revision, is_unfenced=is_unfenced)
    spec = pushed_to(load_spec(options), push_to)
    target = resolve(options)
    found = find_revision(options, spec, revision, is_unfenced=is_unfenced)
    spec = found.told_by(spec)
    images = ImagePolicy(mode=resolve_mode_of(resolve_mode, target), push_to=push_to)
    allowed = {"allow_destroy": allow_destroy, "adopt": adopt, "prune_clones": prune_clones}
    plan, looked_up = run_async(_plan(options, target, spec, images, found.revision, allowed))
    show(plan, options, shows_values=shows_values)
    if plan.blocked:
        annotate(plan.blocked)
    if not plan.is_reviewable:
        return 1
    if out is not None:
        _save(plan, looked_up, options, target, out, allowed)
    return 2 if is_detailed and not plan.is_settled else 0


def _save(
    plan: "Plan", looked_up: "LookedUp", options: Shared, target: "Target", out: Path, allowed: Mapping[str, Any]
) -> None:
    """Write the plan to the file `out`, and say how to apply it."""
    from reconciler.operations import saved_plans

    saved = saved_plans.bind(
        plan,
        looked_up.spec,
        target,
        selection=options.selection,
        app=options.app,
        images=looked_up.digests,
        **allowed,
    )
    saved_plans.write(saved, out, salt=console.new_salt(), conceal=streams.current().known.conceal)
    if plan.blocked:
        console.say(f"saved as {out}, to be read: an apply of it is refused, since it {plan.blocked[0]}")
    else:
        console.say(f"saved: `reconciler {' '.join(_how(options))} {out}` does this and nothing else")


def _how(options: Shared) -> list[str]:
    """Return the words of the command line that applies the saved plan.

    They name the spec that the plan was made from, and its directory.
    """
    words = ["-C", str(options.directory)] if options.directory else []
    words += [word for file in (options.file, *options.overlays) if file for word in ("-f", file)]
    words += ["--environment", options.environment] if options.environment else []
    return [*words, "apply"]


async def _plan(
    options: Shared,
    target: "Target",
    spec: "Spec",
    images: "ImagePolicy",
    revision: "Revision | None",
    allowed: Mapping[str, Any],
) -> "tuple[Plan, LookedUp]":
    """Return the plan, and what was found of the images that it was made with."""
    from reconciler.operations.plan import plan

    async with open_session(options, target, console.say) as session:
        return await plan(session, spec, images=images, selection=options.selection, revision=revision, **allowed)
