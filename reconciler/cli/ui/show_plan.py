"""Print a plan in the format asked for, the same for every verb."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared

if TYPE_CHECKING:
    from reconciler.model.plan import Plan, SavedPlan


def show(
    plan: "Plan",
    options: Shared,
    *,
    saved: "SavedPlan | None" = None,
    has_hash: bool = True,
    shows_values: bool = False,
    reads: Sequence[Path] = (),
    is_document: bool = True,
    is_summed_up: bool = True,
) -> None:
    """Print the plan in the format asked for.

    A saved plan brings its hash; some plans cannot be applied by their hash. `shows_values` leaves the values of
    variables and files unmasked, in text alone. `reads` are files that nothing may be written into. `is_document`
    says that the plan is what the verb is about, and --json-into gets it. Without `is_summed_up` text has no last line.
    """
    from reconciler.canonical.change_hashes import change_hashes, set_sha256

    salt = console.new_salt()
    found: str | None = None
    changes: Collection[str] | None = None
    if saved:
        found, changes = saved.plan_sha256, saved.change_hashes
    elif has_hash:
        changes = change_hashes(plan)
        found = set_sha256(changes)
    if options.json_into is not None and is_document:
        _write(plan, options, reads, plan_sha256=found, salt=salt, change_hashes=changes)
    if options.is_json:
        from reconciler.render.json import plan_members

        console.print_json(plan_members(plan, plan_sha256=found, salt=salt, change_hashes=changes))
        return
    if options.output == "markdown":
        from reconciler.render.markdown import plan_markdown

        text = plan_markdown(plan, plan_sha256=found, salt=salt, change_hashes=changes)
        console.print_text(text.rstrip("\n"), is_safe=True)
        return
    if options.output == "gitlab":
        import json

        from reconciler.render.terraform import widget_counts

        console.print_text(json.dumps(widget_counts(plan)))
        return
    if options.output == "html":
        from reconciler.render.html import plan_html

        console.print_text(plan_html(plan, plan_sha256=found, salt=salt).rstrip("\n"), is_safe=True)
        return
    from reconciler.render.text import plan_text

    text = plan_text(
        plan,
        color=console.is_coloured(options),
        width=console.line_width(),
        salt=None if shows_values else salt,
        shows_bookkeeping=options.verbosity > 0,
        is_summed_up=is_summed_up,
    )
    console.print_text(text, is_safe=True)
    if found and plan.has_changes and plan.is_reviewable:
        console.print_text(f"Plan hash: {found}")


def show_first(
    plan: "Plan",
    options: Shared,
    *,
    shows_values: bool = False,
    has_hash: bool = True,
    is_summed_up: bool = True,
) -> None:
    """Show the plan that is about to be carried out.

    In Markdown and JSON stdout is for the report alone: then the plan is text on stderr, or left out for programs.
    """
    if options.output == "markdown":
        from reconciler.render.text import plan_text

        console.say(plan_text(plan, salt=console.new_salt(), is_summed_up=is_summed_up))
    elif not options.is_json:
        show(
            plan,
            options,
            has_hash=has_hash,
            shows_values=shows_values,
            is_document=False,
            is_summed_up=is_summed_up,
        )


def _write(plan: "Plan", options: Shared, reads: Sequence[Path], **hashes: Any) -> None:
    """Write the plan's document where --json-into says."""
    from reconciler.cli.ui.side_files import write_document
    from reconciler.render.json import plan_json

    read: list[str | Path] = [*reads, *((plan.scope.spec, *plan.scope.overlays) if plan.scope else ())]
    write_document(options, plan_json(plan, **hashes), reads=read)
