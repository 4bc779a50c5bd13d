"""Note, before the first write, what a plan does and leaves no trace of.

These are the notes of a reviewed plan, so that its hash is enough to go on if this apply is cut off, and the revision,
so that no older apply makes again what this one destroys. They are written under the lease of a machine that the plan
leaves standing, else of the one that goes last. If none takes them, nothing is destroyed.
"""

from typing import Final, NamedTuple

from reconciler.apply.job import Job, Locks
from reconciler.apply.judge import Obstacle, objection_to_marks
from reconciler.apply.options import Options
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import Plan
from reconciler.model.plan_notes import marks_with
from reconciler.model.report import Reason
from reconciler.model.revision import begun, parse_revision, parse_whole
from reconciler.planner.holders import takes_marks
from reconciler.planner.notes import destroys, last_to_go, standing
from reconciler.slots.context import Context
from reconciler.slots.wait import read_by_id

_TRIED: Final = 3  # machines
_TRACELESS: Final = frozenset({Action.DESTROY, Action.REPLACE})


class Noted(NamedTuple):
    """What came of it.

    That is why nothing may be destroyed, and the change that is made last, as its machine holds the notes.
    """

    obstacle: Obstacle | None = None
    last_to_go: str | None = None


async def note_first(context: Context, plan: Plan, observed: Observed | None, options: Options, locks: Locks) -> Noted:
    """Note it, before the first write."""
    notes = options.notes
    has_revision = options.revision is not None and destroys(plan)
    if observed is None or not ((notes and notes.lasting and plan.has_changes) or has_revision):
        return Noted()
    machines, last = standing(plan, observed)[:_TRIED], None
    if not machines and (going := last_to_go(plan, observed)):
        last = going.address
        machines = [one for app in observed.apps.values() for one in app.machines if one.id == going.machine_id]
    found: Obstacle | None = None
    for machine in machines:
        found = await _note_on(context, machine, plan.stack, options, locks, has_revision=has_revision)
        if found is None:
            break
    return Noted(found, last)


async def pass_on(job: Job, leaving: Machine, change: Change) -> Obstacle | None:
    """Note it on another machine of the app before the one that holds the notes goes.

    Return why that failed. If none stands, as far as a list shows, nothing can hold the notes.
    """
    if job.options.last_to_go != change.address:
        return None
    found: Obstacle | None = None
    for machine in await job.context.client.list_machines(leaving.app) or ():
        is_other = machine.id != leaving.id and not machine.state.is_gone and takes_marks(machine.config)
        if is_other and marks.is_owned(machine.metadata, stack=job.stack, name=machine.name):
            found = await _note_on(job.context, machine, job.stack, job.options, job.locks, has_revision=True)
            if found is None:
                return None
    return found


def refuses(change: Change, obstacle: Obstacle | None) -> bool:
    """Return whether the change may not be made, since it was not noted."""
    return obstacle is not None and change.action in _TRACELESS


async def _note_on(
    context: Context, machine: Machine, stack: str, options: Options, locks: Locks, *, has_revision: bool
) -> Obstacle | None:
    what = "what is to be destroyed could not be noted first"
    if not _due(machine, options, has_revision=has_revision):
        return None
    try:
        async with locks.hold(machine.app, machine.id) as lease:
            live = await read_by_id(context, machine.app, machine.id)
            if live is None or live.state.is_gone:
                return Obstacle(f"{what}: {machine.name} is gone", Reason.OVERTAKEN)
            if objection := objection_to_marks(live, stack, options):
                return objection.about(f"{what} on {machine.name}")
            for key, value in _due(live, options, has_revision=has_revision).items():
                lease.guard()
                await context.client.set_metadata(live.app, live.id, key, value)
    except Exception as error:
        is_held = isinstance(error, ApiError) and error.kind is ApiErrorKind.LEASE_HELD
        return Obstacle(f"{what} on {machine.name}: {context.explain(error)}", Reason.LOCK if is_held else None)
    return None


def _due(machine: Machine, options: Options, *, has_revision: bool) -> dict[str, str]:
    """Return the marks that the machine lacks."""
    due: dict[str, str] = {}
    if options.notes and options.notes.lasting:
        due = marks_with(options.notes.plan, machine.metadata, options.notes.lasting)
    before = machine.metadata.get(marks.HIGHEST, "")
    if has_revision and options.revision and parse_revision(before) != options.revision:
        due[marks.HIGHEST] = begun(options.revision, parse_whole(before))
    return {key: value for key, value in due.items() if machine.metadata.get(key) != value}
