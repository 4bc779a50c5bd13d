"""Propose an apply, show it, ask, and carry it out; or only show it: a dry run."""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli.ui import console
from reconciler.cli.ui.annotations import annotate
from reconciler.cli.ui.options import Shared, resolve_mode_of
from reconciler.cli.ui.run_apply import (
    carry_out_shown,
    failing_if_superseded,
    finish,
    not_begun,
    superseded_report,
    tell_objections,
)
from reconciler.cli.ui.session import open_session
from reconciler.cli.ui.show_plan import show, show_first
from reconciler.cli.ui.side_files import Beside
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent

if TYPE_CHECKING:
    from reconciler.apply.executor import Stop
    from reconciler.apply.options import Options
    from reconciler.operations.apply import Proposal
    from reconciler.operations.images import ImagePolicy
    from reconciler.targets import Target

_REFUSAL = "pass --yes, or look first with `reconciler plan`"


class Asking(Struct, frozen=True, kw_only=True):
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


class Work(Struct, frozen=True, kw_only=True):
    """What is to be applied, and how."""

    spec: Spec
    consent: Consent
    how: "Options"
    images: "ImagePolicy"
    resolve_mode: str | None
    wait_busy_s: float | None

    def images_on(self, target: "Target") -> "ImagePolicy":
        """Return how images are looked up there. Raises a usage error."""
        return replace(self.images, mode=resolve_mode_of(self.resolve_mode, target))


async def propose_dry(asking: Asking, target: "Target", work: Work) -> "Proposal":
    """Return what would be done; nothing is built for it."""
    from reconciler.operations.apply import propose_apply

    images = replace(work.images_on(target), builds=False, must_be_built=False)
    async with open_session(asking.options, target, console.say) as session:
        return await propose_apply(session, work.spec, work.consent, work.how, images=images)


def end_dry(asking: Asking, proposal: "Proposal", is_detailed: bool) -> int:
    """Show what would be done, and return the exit code of a dry run."""
    plan = proposal.plan
    if asking.is_reviewed and (newer := plan.superseded_by):
        return finish(superseded_report(plan, newer, fails=asking.fails_if_superseded), asking.options, None)
    show(plan, asking.options, shows_values=asking.shows_values)
    tell_objections(proposal)
    annotate(proposal.obstacles)
    if proposal.objections or not plan.is_reviewable:
        return 1
    return 2 if is_detailed and not plan.is_settled else 0


async def apply_asked(asking: Asking, both: Beside, target: "Target", work: Work, stop: "Stop") -> Report | None:
    """Return the report, or None if nothing was applied.

    That is so if the user said no, the plan is blocked, or it is not the plan that was reviewed.
    """
    from reconciler.operations.apply import propose_apply

    options, images = asking.options, work.images_on(target)
    async with open_session(options, target, console.say) as session:
        session = both.events.heard_in(session)
        proposal = await propose_apply(session, work.spec, work.consent, work.how, images=images)
        plan = proposal.plan
        both.events.plan(plan)
        if asking.is_reviewed and plan.superseded_by:
            return superseded_report(plan, plan.superseded_by, fails=asking.fails_if_superseded)
        show_first(plan, options, shows_values=asking.shows_values)
        if options.is_json:
            _say_warnings(plan)
        tell_objections(proposal)
        if proposal.obstacles:
            return not_begun(plan, proposal.obstacles, options, both)
        if plan.has_changes and not asking.is_agreed and not _is_confirmed(plan):
            console.say("nothing was changed")
            return not_begun(plan, ("the plan was not confirmed",), options, both)
        report = await carry_out_shown(session, proposal, stop, wait_busy_s=work.wait_busy_s)
        return failing_if_superseded(report) if asking.fails_if_superseded else report


def _say_warnings(plan: Plan) -> None:
    for warning in plan.warnings:
        console.say(f"Warning: {warning}")


def _is_confirmed(plan: Plan) -> bool:
    from reconciler.render.questions import apply_question

    return console.ask_typed(apply_question(plan), "yes", refusal=_REFUSAL)
