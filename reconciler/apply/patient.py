"""An apply that waits for runs in progress, and then changes the slots that it had to defer."""

from collections.abc import Callable
from dataclasses import replace

from reconciler.apply.apply import apply
from reconciler.apply.busy import wait_for_busy
from reconciler.apply.executor import Stop
from reconciler.apply.options import Options
from reconciler.machines_api.observe import observe
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.spec import Spec
from reconciler.slots.actor import Actor


async def apply_patiently(
    actor: Actor,
    spec: Spec,
    plan: Plan,
    plan_again: Callable[[Observed], Plan],
    options: Options,
    *,
    wait_busy_s: float,
    observed: Observed | None = None,
    stop: Stop | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """The report of all rounds as one: plans and applies again each time that a run has ended, while there is time.

    `observed` is the snapshot that the plan was made of, where it is at hand.
    Raises BlockedError before the first write of the first round; a later round that is blocked ends it.
    """
    stop = stop or Stop()
    began = actor.clock.monotonic()
    deadline = began + wait_busy_s
    report = await apply(actor, spec, plan, options, observed=observed, stop=stop, on_end=on_end)
    while report.is_on_course and not stop.why:
        busy = deferred_machines(report)
        remaining_s = deadline - actor.clock.monotonic()
        if not busy or remaining_s <= 0:
            break
        actor.emit(f"waiting for {len(busy)} run{'' if len(busy) == 1 else 's'} in progress")
        await wait_for_busy(actor, busy, timeout_s=remaining_s, stop=stop)
        if stop.why:
            return replace(report, interrupted=stop.is_interrupt)
        try:
            seen = await observe(actor.client, [app.name for app in spec.apps], clock=actor.clock)
            again = plan_again(seen)
        except Exception as error:
            why = f"the deferred slots could not be planned again: {actor.explain(error)}"
            return replace(report, failures=(*report.failures, why))
        if again.blocked:
            return replace(report, failures=(*report.failures, *again.blocked))
        report = _joined(report, await apply(actor, spec, again, options, observed=seen, stop=stop, on_end=on_end))
    return replace(report, duration_s=actor.clock.monotonic() - began)


def deferred_machines(report: Report) -> list[tuple[str, str, str]]:
    """(app, machine id, name) of the slots that were deferred."""
    return [
        (ended.slot.app, ended.machine_id, ended.slot.name)
        for ended in report.entries
        if ended.status is Status.DEFERRED and ended.machine_id
    ]


def _joined(before: Report, after: Report) -> Report:
    entries = {ended.address: ended for ended in (*before.entries, *after.entries)}
    return replace(
        after,
        plan=before.plan,
        entries=tuple(entries.values()),
        apps_created=(*before.apps_created, *after.apps_created),
    )
