"""Take our marks off a stack's machines, so that another tool may have them."""

from functools import partial

from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.apply import Proposal
from reconciler.operations.consent import Consent
from reconciler.operations.destroy import emptied
from reconciler.operations.plan import locks_of, with_locks
from reconciler.operations.scope import scope_of
from reconciler.operations.selection import require_regions
from reconciler.operations.session import Session
from reconciler.planner.approved import within
from reconciler.planner.release import release_plan
from reconciler.slots.snapshot import observe_stack


async def propose_release(
    session: Session, spec: Spec, consent: Consent | None = None, *, selection: Selection = WHOLE
) -> Proposal:
    """Observe the target and plan to release the stack's machines. Reads only.

    `consent` is what was reviewed, if anything was. Raises ApiError.
    """
    consent = consent or Consent()
    plan_again = partial(release_plan, spec, selection=selection)
    observed = await observe_stack(session.context, spec)
    require_regions(spec, selection, observed)
    plan = replace(plan_again(observed), scope=scope_of(spec, session.target))
    locks = {key: lease for app in observed.apps.values() for key, lease in locks_of(app).items()}
    approved = consent.approved(plan, spec, observed) if consent.is_reviewed else None
    proposal = Proposal(
        plan=with_locks(plan, locks),
        spec=emptied(spec, selection),  # of which nothing may be left to do
        observed=observed,
        options=Options(selection=selection, allow_rollback=True, verb="release", plan_sha256=consent.sha256),
        plan_again=plan_again,
        objections=() if plan.blocked else consent.objections_to(plan, approved),
        is_reviewed=consent.is_reviewed,
    )
    return replace(proposal, may_do=partial(within, approved=approved)) if approved else proposal
