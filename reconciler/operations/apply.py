"""Apply in two steps: propose, which only reads, and carry out.

Between them the caller shows the plan, and asks.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.apply.executor import Stop
from reconciler.apply.options import Options
from reconciler.apply.retry_deferred import apply_patiently
from reconciler.errors import StalePlanError
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent
from reconciler.operations.drift import drift_planner
from reconciler.operations.image_builds import ImageBuilds, check_builds
from reconciler.operations.images import ImagePolicy
from reconciler.operations.plan import (
    locks_of,
    machines_in,
    observe_as_applied,
    observe_pinned,
    pinned_to,
    with_locks,
    with_room,
)
from reconciler.operations.reviewed_images import look_up_as_reviewed
from reconciler.operations.saved_plans import changed_back, reviewed_versions
from reconciler.operations.scope import scope_of
from reconciler.operations.session import Session
from reconciler.operations.urls import urls_of
from reconciler.planner.approved import ApprovedSet, lacks_allowance, within, without_allowance
from reconciler.planner.notes import notes_of
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.snapshot import observe_stack

if TYPE_CHECKING:
    from reconciler.images.builds import Job


def _unchanged(plan: Plan) -> Plan:
    return plan


class Proposal(Struct, frozen=True, kw_only=True):
    """A plan that may be carried out, and what that needs.

    `observed` and `spec` are what the plan was made from; the spec has the digests of its images. `plan_again` plans
    for a later snapshot. `may_do` reduces that plan to what was agreed to. `objections` say what is due and was not
    approved, where `is_reviewed` says that only a reviewed plan may be applied. `images` says how those of the `jobs`
    are built that the plan needs.
    """

    plan: Plan
    spec: Spec
    observed: Observed
    options: Options
    plan_again: Callable[[Observed], Plan]
    may_do: Callable[[Plan], Plan] = _unchanged
    objections: tuple[str, ...] = ()
    is_reviewed: bool = False
    images: ImagePolicy = field(default_factory=ImagePolicy)
    jobs: "tuple[Job, ...]" = ()

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Return why nothing of it may be done; empty if it may."""
        return self.plan.blocked or self.objections


async def propose_apply(
    session: Session, spec: Spec, consent: Consent, options: Options, *, images: ImagePolicy
) -> Proposal:
    """Observe the target and plan what `consent` allows. Reads only.

    The consent's rollback and review count for the options too. Of a saved plan the pools, the allowances and the
    images' digests are those that were saved. Raises UsageError where a saved plan is of another spec or target, and
    ApiError, RegistryError, BuildError, SpecError.
    """
    saved = consent.saved
    options = replace(options, allow_rollback=consent.allow_rollback, plan_sha256=consent.sha256)
    if saved:
        consent = replace(consent, adopt=saved.adopt, prune_clones=saved.prune_clones)
        options = replace(options, selection=saved.selection, reviewed_versions=reviewed_versions(saved))
        looked_up = await look_up_as_reviewed(session, spec, saved, images)
        pinned = pinned_to(await observe_stack(session.context, spec), looked_up)
    elif options.only_drift:
        pinned = await observe_as_applied(session, spec)
    else:
        pinned = await observe_pinned(session, spec, images, selection=options.selection)
    plan_again: Callable[[Observed], Plan] = partial(
        make_plan,
        pinned.spec,
        selection=options.selection,
        allow_destroy=consent.destroys_as_approved,
        revision=options.revision,
        allow_rollback=options.allow_rollback,
        adopt=consent.adopt,
        prune_clones=consent.prune_clones,
    )
    if options.only_drift:
        plan_again = await drift_planner(session, plan_again, pinned.observed)
    plan = replace(plan_again(pinned.observed), scope=scope_of(spec, session.target))
    approved = consent.approved(plan, spec, pinned.observed) if consent.is_reviewed else None
    if approved and not saved and lacks_allowance(plan, approved):
        plan = without_allowance(plan)
    if saved and not plan.blocked:
        plan = replace(plan, blocked=saved.plan.blocked)  # what was reviewed had no allowance
    objections = await _objections(session, plan, consent, approved)
    if not plan.blocked and not objections:
        check_builds(session, plan, pinned.looked_up, images)
    if approved and consent.sha256:
        options = replace(options, notes=notes_of(plan, approved, consent.sha256, pinned.observed))
    apps = pinned.observed.apps.values()
    plan = with_locks(plan, {key: lease for app in apps for key, lease in locks_of(app).items()})
    if not objections:  # else nothing of it is created
        plan = await with_room(session, pinned.spec, plan, sum(map(machines_in, apps), Counter[tuple[str, str]]()))
    return Proposal(
        plan=plan,
        spec=pinned.spec,
        observed=pinned.observed,
        options=options,
        plan_again=plan_again,
        may_do=partial(within, approved=approved) if approved else _unchanged,
        objections=objections,
        is_reviewed=consent.is_reviewed,
        images=images,
        jobs=pinned.looked_up.jobs,
    )


async def _objections(session: Session, plan: Plan, consent: Consent, approved: ApprovedSet | None) -> tuple[str, ...]:
    """Return what is due and was not approved.

    If there is none, return which machines were changed and changed back. Nothing if the plan is blocked anyway.
    """
    if plan.blocked:
        return ()
    found = consent.objections_to(plan, approved)
    if consent.saved and not found:
        found = await changed_back(session.context, consent.saved, plan)
    return found


async def carry_out(
    session: Session,
    proposal: Proposal,
    *,
    wait_busy_s: float | None = None,
    stop: Stop | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """Make the plan true, and report how. Call it only after the plan was agreed to.

    `on_end` gets each change that ended. Of a reviewed plan that a newer revision has superseded nothing is begun, or
    nothing more once it is met; the report names that revision. Before the first write this raises StalePlanError if a
    change is due that was not approved, and BlockedError if the plan may not be applied.
    """
    if proposal.is_reviewed and (newer := proposal.plan.superseded_by):
        return Report(plan=proposal.plan, entries=(), superseded_by=newer)
    if proposal.objections:
        raise StalePlanError(proposal.objections)
    report = await apply_patiently(
        session.context,
        proposal.spec,
        proposal.plan,
        proposal.plan_again,
        proposal.options,
        observed=proposal.observed,
        wait_busy_s=wait_busy_s,
        may_do=proposal.may_do,
        stop=stop,
        build_images=ImageBuilds(session, proposal.jobs, proposal.images),
        on_end=on_end,
    )
    if report.interrupted:
        return report
    is_nothing_left = proposal.is_reviewed and not proposal.plan.has_changes and report.is_success
    return replace(report, urls=await urls_of(session, proposal.spec), is_nothing_left=is_nothing_left)
