"""A plan that was approved, in each of the ways in which an approval is passed on."""

from collections.abc import Callable
from typing import Any

from reconciler.apply.options import Options
from reconciler.canonical.change_hashes import change_hashes, set_sha256
from reconciler.model.approval import Approval, approval_text, parse_approval
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.model.selection import WHOLE
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out, propose_apply
from reconciler.operations.consent import Consent
from reconciler.operations.saved_plans import bind
from reconciler.render.json import json_text
from reconciler.render.saved import parse_saved, saved_json
from tests.support.world import NO_IMAGES, TARGET, World

Approve = Callable[[Plan, Spec], Consent]
ALLOWED = 1000


def by_file(plan: Plan, spec: Spec) -> Consent:
    """The saved plan, as it is read from its file."""
    saved = bind(plan, spec, TARGET, selection=WHOLE, app=None, adopt=False, allow_destroy=ALLOWED, images={})
    return Consent(saved=parse_saved(json_text(saved_json(saved, salt="s")), name="plan.json"))


def by_set(plan: Plan, _spec: Spec) -> Consent:
    """The set of its changes, as the comment has it."""
    changes = change_hashes(plan)
    return Consent(approvals=(parse_approval(approval_text(set_sha256(changes), changes)),))


def by_hash(plan: Plan, _spec: Spec) -> Consent:
    """Its hash alone."""
    return Consent(approvals=(Approval(set_sha256(change_hashes(plan))),), allow_destroy=ALLOWED)


WAYS: dict[str, Approve] = {"file": by_file, "set": by_set, "hash": by_hash}


async def apply_approved(world: World, spec: Spec, consent: Consent, **options: Any) -> Report:
    """Applies what is left of what was approved. Raises StalePlanError, BlockedError."""
    proposal = await propose_apply(world.session, spec, consent, Options(**options), images=NO_IMAGES)
    return await carry_out(world.session, proposal)
