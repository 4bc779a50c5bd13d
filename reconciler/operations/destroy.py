"""Remove every machine that a stack owns, and nothing else.

Its apps are kept unless they are to be deleted too.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.model import marks
from reconciler.model.app_contents import AppContents
from reconciler.model.change import Action, Change, ReasonCode
from reconciler.model.desired import Handover
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Pool, Spec
from reconciler.operations.apply import Proposal
from reconciler.operations.scope import scope_of
from reconciler.operations.selection import require_regions
from reconciler.operations.session import Session
from reconciler.planner.app_deletions import apps_to_delete, with_app_deletions
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.snapshot import observe_stack

_NO_LIMIT: Final = 10_000_000  # the stack's name, typed, is the consent


async def propose_destroy(
    session: Session, spec: Spec, *, selection: Selection = WHOLE, force: bool = False, with_apps: bool = False
) -> Proposal:
    """Plan to destroy all machines of the selection. Reads only.

    `force` ends running tasks instead of waiting for them. `with_apps` deletes the apps too. Raises ApiError.
    """
    empty = emptied(spec, selection)
    observed = await observe_stack(session.context, empty)
    require_regions(spec, selection, observed)
    contents = await _contents(session, observed, apps_to_delete(spec)) if with_apps else {}

    def plan_again(observed: Observed) -> Plan:
        plan = _with_reason(make_plan(empty, observed, selection=selection, allow_destroy=_NO_LIMIT))
        return with_app_deletions(plan, empty, observed, contents) if with_apps else plan

    return Proposal(
        plan=replace(plan_again(observed), scope=scope_of(spec, session.target)),
        spec=empty,
        observed=observed,
        options=Options(selection=selection, force=force, allow_rollback=True, verb="destroy"),
        plan_again=plan_again,
    )


async def _contents(session: Session, observed: Observed, names: Collection[str]) -> Mapping[str, AppContents]:
    """Return what the apps that exist have beside their machines. Raises ApiError."""
    apps = session.context.client.apps

    async def one(name: str) -> AppContents:
        volumes, certificates, secrets, addresses = await asyncio.gather(
            apps.volumes(name), apps.certificates(name), apps.secrets(name), apps.addresses(name)
        )
        return AppContents(volumes=volumes, certificates=certificates, secrets=secrets, addresses=addresses)

    there = [name for name in names if observed.apps[name].exists]
    return dict(zip(there, await asyncio.gather(*map(one, there)), strict=True))


def emptied(spec: Spec, selection: Selection) -> Spec:
    """Return the stack without addresses, and without slots in the selected regions.

    The pools stay, because they tell services from tasks.
    """

    def left(pool: Pool) -> Pool:
        return replace(pool, counts={name: n for name, n in pool.counts.items() if not selection.has_region(name)})

    apps = tuple(replace(app, addresses=None, pools=tuple(left(pool) for pool in app.pools)) for app in spec.apps)
    return replace(spec, apps=apps)


def _with_reason(plan: Plan) -> Plan:
    """Return the plan with this operation as the reason of its changes."""
    changes = tuple(
        replace(change, code=ReasonCode.DESTROY, reason="destroy", handover=_as_applied(change))
        for change in plan.changes
        if change.action is Action.DESTROY
    )
    return replace(plan, changes=changes, deletion_limit=None, announcements=())


def _as_applied(change: Change) -> Handover | None:
    """Hand over to the pool's machines elsewhere what was applied."""
    if change.handover is None or change.observed is None:
        return change.handover
    metadata = change.observed.metadata
    want = marks.parse_want(metadata.get(marks.WANT, ""))
    return replace(
        change.handover,
        digest=want.digest,
        image_digest=want.image_digest,
        run_policy=metadata.get(marks.TERMS, change.handover.run_policy),
    )
