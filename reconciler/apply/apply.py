"""Apply a plan: create missing apps, make the changes, read back and plan again."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from reconciler.apply.actions import perform
from reconciler.apply.allocate_ips import allocating
from reconciler.apply.announcements import Announcements, announcing
from reconciler.apply.create_apps import AppCreations, creating_apps
from reconciler.apply.delete_apps import delete_apps
from reconciler.apply.executor import Executor, Stop
from reconciler.apply.job import Locks
from reconciler.apply.judge import Obstacle, entry
from reconciler.apply.metadata import keep_books
from reconciler.apply.notes import note_first, refuses
from reconciler.apply.options import Options
from reconciler.apply.prepare_images import BuildImages, with_images_built
from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.apply.superseded import WHY_STOPPED, is_superseded, left_to_newer, newer_in, superseded_by
from reconciler.apply.telling import Teller
from reconciler.apply.verify import read_back
from reconciler.apply.watching import Course
from reconciler.errors import BlockedError
from reconciler.model.change import Action, Change
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan, UnreachableMachine
from reconciler.model.report import Entry, Reason, Report, Status
from reconciler.model.revision import Revision
from reconciler.model.spec import Spec
from reconciler.planner.notes import with_last
from reconciler.planner.pair import unreachable_machines
from reconciler.slots.context import Context


async def apply(
    context: Context,
    spec: Spec,
    plan: Plan,
    options: Options | None = None,
    *,
    observed: Observed | None = None,
    stop: Stop | None = None,
    build_images: BuildImages | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """Make the plan true, and report what is.

    `spec` is what the plan was made from, `observed` the snapshot: with it, an app that nothing was done to is not
    listed a second time. `build_images` builds what is not built yet. Raises BlockedError before the first write. What
    goes wrong later is in the report.
    """
    if plan.blocked:
        raise BlockedError("; ".join(plan.blocked))
    options, stop, began = options or Options(), stop or Stop(), context.clock.monotonic()
    async with creating_apps(context, plan, stop) as creations:
        built = await with_images_built(context, plan, spec, creations, stop, build_images)
        if isinstance(built, str):
            report = _begun_nothing(plan, creations, built, stop)
        else:
            plan, spec = built
            report = await _make(context, spec, plan, options, creations, observed=observed, stop=stop, on_end=on_end)
    return replace(report, duration_s=context.clock.monotonic() - began)


async def _make(
    context: Context,
    spec: Spec,
    plan: Plan,
    options: Options,
    creations: AppCreations,
    *,
    observed: Observed | None,
    stop: Stop,
    on_end: Callable[[Entry], None],
) -> Report:
    """Make the plan true while its apps are created, and report what is."""
    failures: list[str] = []
    locks = Locks(context, timeout_s=options.lock_timeout_s, verb=options.verb)
    executor = Executor(parallelism=options.parallelism, stop=stop, explain=context.explain)
    noted = await note_first(context, plan, observed, options, locks)
    options = replace(options, last_to_go=noted.last_to_go)
    ordered = with_last((*plan.effective, *plan.watched), noted.last_to_go)
    changes = tuple(_undeferred(change) if options.force else change for change in ordered)
    teller = Teller(changes, context)
    async with (
        allocating(context, plan, options, stop, locks, creations) as allocations,
        announcing(context, plan, options, locks, executor.limit) as announcements,
    ):
        try:
            entries = await executor.make(
                changes,
                partial(_perform, teller, plan.stack, options, locks),
                admit=partial(_admit, context, creations, announcements, noted.obstacle, stop),
                defer=partial(_defer, announcements),
                on_end=partial(_tell, teller, options, stop, on_end, failures),
            )
        finally:
            _finish(teller, failures)
    await creations.ended()
    ips, mismatches = tuple(allocations.entries), tuple[str, ...]()
    found: Observed | None = None
    newer: Revision | None = None
    if not stop.is_interrupt:
        try:
            read = await read_back(context, spec, plan, entries, ips, options, before=observed)
            mismatches, found = read.mismatches, read.observed
            newer = newer_in(found, plan.stack, entries, options)
            if newer is None:  # else they are the newer revision's to keep
                failures += await keep_books(context, spec, plan, read, options, locks, executor)
        except Exception as error:
            failures.append(f"the check of what was applied failed: {context.explain(error)}")
    deletions = await delete_apps(
        context, plan, entries, stop, is_read_back=bool(found and not mismatches and not newer)
    )
    report = Report(
        plan=plan,
        entries=entries,
        apps_created=creations.created,
        mismatches=mismatches,
        unreachable=_unreachable(spec, plan, found, options),
        failures=(*creations.failures.values(), *failures),
        allocations=ips,
        app_deletions=deletions,
        interrupted=stop.is_interrupt,
    )
    return superseded_by(report, newer) if newer else report


def _begun_nothing(plan: Plan, creations: AppCreations, why: str, stop: Stop) -> Report:
    """Return the report of an apply whose images could not all be built."""
    skipped = "nothing of the plan was begun, as an image is not built"
    return Report(
        plan=plan,
        entries=tuple(entry(change, Status.SKIPPED, skipped) for change in plan.effective),
        apps_created=creations.created,
        failures=(*creations.failures.values(), why),
        unreachable=plan.unreachable,
        interrupted=stop.is_interrupt,
    )


async def _perform(teller: Teller, stack: str, options: Options, locks: Locks, change: Change, course: Course) -> Entry:
    teller.begin(change)
    ended = await perform(teller.context_of(change), change, stack, options, locks, course=course)
    return left_to_newer(ended, options)


def _tell(
    teller: Teller, options: Options, stop: Stop, on_end: Callable[[Entry], None], failures: list[str], ended: Entry
) -> None:
    """Tell how a change has ended."""
    has_failed = ended.status in {Status.FAILED, Status.UNKNOWN} and ended.reason is not Reason.OVERTAKEN
    if options.is_failing_fast and has_failed:
        stop.request("an earlier change failed, so nothing new was begun")
    if is_superseded(ended, options):
        stop.request(WHY_STOPPED)
    try:
        on_end(ended)
        teller.take(ended)
    except Exception as error:
        failures.append(f"{ended.address}: its progress could not be shown: {teller.explain(error)}")


def _finish(teller: Teller, failures: list[str]) -> None:
    """Tell what was kept to be told together."""
    try:
        teller.finish()
    except Exception as error:
        failures.append(f"the progress could not be shown: {teller.explain(error)}")


async def _admit(
    context: Context,
    creations: AppCreations,
    announcements: Announcements,
    unnoted: Obstacle | None,
    stop: Stop,
    change: Change,
    limit: PrioritySemaphore,
) -> Obstacle | None:
    """Let the change begin once nothing is in its way.

    Its app is there, its pool's anchor says what the pool should be and, if it makes a machine, the platform's rate
    allows it.
    """
    if not await creations.is_there(change.slot.app):
        return Obstacle("its app could not be created")
    if refuses(change, unnoted):
        return unnoted
    if obstacle := await announcements.obstacle(change):
        return obstacle
    if change.action is not Action.CREATE:
        await limit.acquire()
    elif not await context.client.creations_in(change.slot.app).enter(limit, stop.requested):
        return Obstacle(stop.why or "")
    return None


async def _defer(announcements: Announcements, change: Change) -> Entry:
    """Return the end of a change that waits for a run.

    It is no success if what the pool should be could not be announced.
    """
    obstacle = await announcements.obstacle(change)
    if obstacle is None:
        return entry(change, Status.DEFERRED, change.deferred or "", reason=Reason.RUN)
    status = Status.FAILED if change.anchor == change.slot.name else Status.SKIPPED
    return entry(change, status, obstacle.detail, reason=obstacle.reason)


def _unreachable(spec: Spec, plan: Plan, found: Observed | None, options: Options) -> tuple[UnreachableMachine, ...]:
    """Return the unreachable machines as read back, or as planned."""
    if found is None:
        return plan.unreachable
    seen = unreachable_machines(spec, found)
    return tuple(one for one in seen if options.selection.has(one.slot))


def _undeferred(change: Change) -> Change:
    """Return the change; with force, a destroy does not wait for a run."""
    return replace(change, deferred=None) if change.action is Action.DESTROY else change
