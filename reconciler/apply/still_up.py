"""See whether services that were not changed stay up. Nothing is written."""

from collections.abc import Sequence

from reconciler.apply.entries import entry
from reconciler.apply.judge import unfit
from reconciler.apply.watching import Course, see_up
from reconciler.model.machine import Event, Machine, MachineRef
from reconciler.model.plan import Change
from reconciler.model.report import Entry, Status
from reconciler.slots.context import Context
from reconciler.slots.wait import read_machine


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
