"""Watch a service after its change: when that is due, and how it ends.

Nothing is held meanwhile, no lease and no place of the limit: many machines are watched side by side.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from reconciler.apply.health import Watch, watch_up
from reconciler.model.machine import Machine
from reconciler.model.plan import Action, Change
from reconciler.model.report import Entry, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context


def _nobody() -> None:
    """Do nothing: nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The course of one change.

    `tell_written` is called once its write is done and only the watching is left; the watching ends early once `cut` is
    set.
    """

    tell_written: Callable[[], None] = _nobody
    cut: asyncio.Event = field(default_factory=asyncio.Event)


def must_run(change: Change) -> bool:
    """Return whether the change of a service leaves its machine running.

    One that may rest only has to be seen up once for all.
    """
    if change.kind is not PoolKind.SERVICE:
        return False
    return change.action is Action.CREATE or change.is_first or not may_rest(change)


def may_rest(change: Change) -> bool:
    """Return whether the proxy may stop the machine when it is idle."""
    return change.desired is not None and change.desired.config.may_rest


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
