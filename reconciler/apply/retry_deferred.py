"""Apply in rounds: what is left is planned and applied again.

That is after a run in progress has ended, and after another apply was first.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.apply.executor import Stop
from reconciler.apply.follow_up import done_by_others, follow_up, overtaken
from reconciler.apply.options import Options, Patience
from reconciler.apply.prepare_images import BuildImages
from reconciler.apply.superseded import superseded_by
from reconciler.apply.telling import tell_end
from reconciler.errors import ApiError
from reconciler.model.counted import counted
from reconciler.model.machine import MachineRef, MachineState, Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.spec import Spec
from reconciler.slots.context import Context
from reconciler.slots.snapshot import observe_stack
from reconciler.slots.wait import wait_until

_MOST_OVERTAKEN: Final = 4  # rounds
_PAUSE_S: Final = 1.0
_READ_PAUSE_S: Final = 5.0


async def apply_patiently(
    context: Context,
    spec: Spec,
    plan: Plan,
    plan_again: Callable[[Observed], Plan],
    options: Options,
    *,
    wait_busy_s: float | None = None,
    may_do: Callable[[Plan], Plan] = lambda plan: plan,
    observed: Observed | None = None,
    stop: Stop | None = None,
    build_images: BuildImages | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """Return the report of all rounds as one.

    `may_do` leaves of a plan that was made again what was approved. `wait_busy_s` bounds the wait for machines that
    settle too; None bounds it by what the platform may need, and waits for no run. `observed` is the snapshot that the
    plan was made of, if it is at hand. Raises BlockedError before the first write of the first round; a later round
    that is blocked ends it. `build_images` is as in apply.
    """
    stop = stop or Stop()
    began = context.clock.monotonic()
    deadline = began + (wait_busy_s or 0.0)
    if wait_busy_s is not None:
        options = replace(options, patience=Patience(wait_busy_s, until=deadline))
    make = partial(apply, context, spec, options=options, stop=stop, build_images=build_images, on_end=on_end)
    report = await make(plan, observed=observed)
    overtaken_left = _MOST_OVERTAKEN
    while not report.superseded_by:
        undone = overtaken(report) if overtaken_left else ()
        if undone:
            overtaken_left -= 1
            context.emit("planning again: another apply was there first")
            await context.clock.sleep(_PAUSE_S)
        elif not await _has_waited(context, report, deadline, stop):
            break
        planned = await _planned_again(context, spec, plan_again, report, options, stop)
        if isinstance(planned, Report):
            report = planned
            break
        again, seen = planned
        if undone:
            is_reviewed = options.plan_sha256 is not None
            left, ended = follow_up(again, report, undone, may_do, is_reviewed=is_reviewed)
        else:
            left, ended = may_do(again), done_by_others(again, report)
        for one in ended:
            tell_end(context, one)
        after = await make(left, observed=seen)
        report = _joined(report, ended, after)
    return replace(report, duration_s=context.clock.monotonic() - began)


async def _planned_again(
    context: Context, spec: Spec, plan_again: Callable[[Observed], Plan], report: Report, options: Options, stop: Stop
) -> tuple[Plan, Observed] | Report:
    """Return the plan and the snapshot of what is there now.

    If nothing more may be done, return the report that ends the rounds. A reviewed plan that a newer revision has
    superseded by then ends well.
    """
    if stop.why:
        return replace(report, interrupted=stop.is_interrupt)
    try:
        seen = await observe_stack(context, spec)
        again = plan_again(seen)
    except Exception as error:
        why = f"what is left could not be planned again: {context.explain(error)}"
        return replace(report, failures=(*report.failures, why))
    if again.superseded_by and options.plan_sha256 is not None:
        return superseded_by(report, again.superseded_by)
    if again.blocked:
        return replace(report, failures=(*report.failures, *again.blocked))
    return again, seen


async def _has_waited(context: Context, report: Report, deadline: float, stop: Stop) -> bool:
    """Wait for one of the runs that slots were deferred for.

    Return False at once if nothing is to be waited for.
    """
    busy = deferred_machines(report)
    remaining_s = deadline - context.clock.monotonic()
    if not report.is_on_course or not busy or remaining_s <= 0 or stop.why:
        return False
    context.emit(f"waiting for {counted(len(busy), 'run')} in progress")
    await wait_for_busy(context, busy, timeout_s=remaining_s, stop=stop)
    return True


def deferred_machines(report: Report) -> list[MachineRef]:
    """Return the machines of the slots that were deferred."""
    return [
        MachineRef(ended.slot.app, ended.machine_id, ended.slot.name)
        for ended in report.entries
        if ended.status is Status.DEFERRED and ended.machine_id
    ]


def _joined(before: Report, ended: Iterable[Entry], after: Report) -> Report:
    entries = {one.address: one for one in (*before.entries, *ended, *after.entries)}
    return replace(
        after,
        plan=before.plan,
        entries=tuple(entries.values()),
        allocations=tuple({(one.app, one.kind): one for one in (*before.allocations, *after.allocations)}.values()),
        app_deletions=tuple({one.app: one for one in (*before.app_deletions, *after.app_deletions)}.values()),
        failures=tuple(dict.fromkeys((*before.failures, *after.failures))),
        apps_created=tuple(dict.fromkeys((*before.apps_created, *after.apps_created))),
    )


async def wait_for_busy(context: Context, busy: Sequence[MachineRef], *, timeout_s: float, stop: Stop) -> None:
    """Return once a machine rests or is gone, after `timeout_s`, or when stopped."""
    waits: list[asyncio.Task[object]] = [asyncio.create_task(_wait(context, machine, timeout_s)) for machine in busy]
    waits.append(asyncio.create_task(stop.requested.wait()))
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _wait(context: Context, machine: MachineRef, timeout_s: float) -> None:
    """Wait for one machine; one that cannot be read may be busy still."""
    is_known = False
    while not is_known:
        try:
            await wait_until(
                context,
                machine,
                lambda seen: seen.state.is_resting,
                states=(MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED),
                timeout_s=timeout_s,
            )
            is_known = True
        except ApiError:
            await context.clock.sleep(_READ_PAUSE_S)
