"""Watch a service after its change, or unchanged: when to watch, and how it ends.

While it is watched, neither a lease nor a place of the limit is held: many machines are watched side by side.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.apply.health import Watch, watch_up
from reconciler.apply.judge import entry, must_run, unfit
from reconciler.apply.options import DEFAULT_PARALLELISM
from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.model.change import Change
from reconciler.model.machine import Event, Machine, MachineRef, MachineState
from reconciler.model.report import Entry, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.wait import read_machine


def _nobody() -> None:
    """Do nothing: nobody wants to know."""


class Course(Struct, frozen=True, kw_only=True):
    """The course of one change.

    `tell_written` is called once its write is done and only the watching is left: it gives back the change's place of
    the `limit`. The watching ends early once `cut` is set.
    """

    limit: PrioritySemaphore = field(default_factory=partial(PrioritySemaphore, DEFAULT_PARALLELISM))
    tell_written: Callable[[], None] = _nobody
    cut: asyncio.Event = field(default_factory=asyncio.Event)


async def see_up(
    context: Context,
    change: Change,
    done: Entry,
    machine: Machine,
    course: Course,
    *,
    fence: str | None,
    is_starting: bool,
) -> Entry:
    """Return `done`, for a service once it was seen to stay up; else the failure.

    `machine` is as the change has left it, `fence` its newest event before the change. Raises ApiError.
    """
    is_resting = machine.state.is_resting and not is_starting
    if change.kind is not PoolKind.SERVICE or (is_resting and not must_run(change)):
        return done
    course.tell_written()
    min_healthy_s = change.rollout.min_healthy_s
    watch = Watch(machine=machine, fence=fence, is_starting=is_starting, min_healthy_s=min_healthy_s)
    watching = asyncio.create_task(watch_up(context, watch))
    cut = asyncio.create_task(course.cut.wait())
    try:
        await asyncio.wait({watching, cut}, return_when=asyncio.FIRST_COMPLETED)
        if not watching.done():
            return replace(done, status=Status.UNKNOWN, detail="changed, and interrupted before it was seen to stay up")
        unhealthy = watching.result()
    finally:
        watching.cancel()
        cut.cancel()
        await asyncio.gather(watching, cut, return_exceptions=True)
    if unhealthy is None:
        return done
    return replace(done, status=Status.FAILED, detail=unhealthy.why, unhealthy=unhealthy)


async def see_checks_pass(
    context: Context, change: Change, done: Entry, before: Machine, after: Machine, course: Course
) -> Entry:
    """Return `done`; of a machine whose checks passed `before`, once they pass again.

    To write metadata resets their reports. Raises ApiError.
    """
    has_checks = after.config is not None and after.config.has_checks
    had_passed = bool(before.checks) and all(check.status == "passing" for check in before.checks)
    if after.state is not MachineState.STARTED or not has_checks or not had_passed:
        return done
    return await see_up(context, change, done, after, course, fence=after.newest_event, is_starting=False)


async def see_still_up(context: Context, change: Change, target: MachineRef, course: Course) -> Entry:
    """See whether a machine stays up that is as declared but has crashed lately.

    Raises ApiError.
    """
    live = await read_machine(context, target)
    if found := unfit(live, change):
        return found
    done, fence = entry(change, Status.DONE, machine=live), await before_its_run(context, live)
    return await see_up(context, change, done, live, course, fence=fence, is_starting=False)


async def before_its_run(context: Context, machine: Machine) -> str | None:
    """Return the event before the machine's newest start. Raises ApiError.

    A crash of that run is newer. None if none is retained.
    """
    before = _before_newest_start(machine.events)
    return before or _before_newest_start(await context.client.list_events(machine.app, machine.id))


def _before_newest_start(events: Sequence[Event]) -> str | None:
    start = next((index for index, event in enumerate(events) if event.type == "start"), len(events))
    return next((event.id for event in events[start + 1 :]), None)
