"""An apply: missing apps first, then the plan's changes, then the truth, read back and planned again."""

from collections.abc import Callable
from dataclasses import replace

from reconciler.apply.actions import entry, perform
from reconciler.apply.executor import Stop, execute
from reconciler.apply.memory import announce_want, mark_pools, raise_high_water, remember_plan, restore_idle
from reconciler.apply.options import Options
from reconciler.apply.read_back import read_back
from reconciler.errors import ApiError, ReconcilerError
from reconciler.model.plan import Action, AppCreation, Change, Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.spec import Spec
from reconciler.slots.actor import Actor


class BlockedError(ReconcilerError):
    """The plan may not be applied as it is: an unobserved app, the brake, a name held by a foreign machine."""


async def apply(
    actor: Actor,
    spec: Spec,
    plan: Plan,
    options: Options | None = None,
    *,
    stop: Stop | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """Makes the plan true and reports what is. `spec` is what the plan was made from, needed to read back.

    Raises BlockedError before the first write. Everything later is in the report.
    """
    if plan.blocked:
        raise BlockedError("; ".join(plan.blocked))
    options, stop = options or Options(), stop or Stop()
    began = actor.clock.monotonic()

    def tell(ended: Entry) -> None:
        if options.is_failing_fast and ended.status in {Status.FAILED, Status.UNKNOWN}:
            stop.request("an earlier change failed, and --fail-fast was given")
        on_end(ended)
        actor.emit(_progress(ended))

    failures = await _create_apps(actor, plan.apps)
    effective = _without_failed_apps(plan.effective, failures)
    entries = await execute(
        tuple(_undeferred(change) if options.force else change for change in effective),
        lambda change: perform(actor, change, plan.stack, options),
        parallelism=options.parallelism,
        stop=stop,
        on_end=tell,
    )
    entries += _skipped(plan.effective, effective)
    mismatches: tuple[str, ...] = ()
    if not stop.is_interrupt:
        await announce_want(actor, effective, entries, options.revision)
        mismatches, observed = await read_back(actor, spec, plan, entries, options)
        if observed:
            await restore_idle(actor, spec, observed)
        if observed and not options.only_drift:
            await mark_pools(actor, spec, observed, options)
            await remember_plan(actor, spec, observed, options, plan)
            await raise_high_water(actor, spec, observed, options.revision, allow_rollback=options.allow_rollback)
    return Report(
        plan=plan,
        entries=entries,
        apps_created=tuple(app.name for app in plan.apps if app.name not in failures),
        mismatches=mismatches,
        failures=tuple(failures.values()),
        interrupted=stop.is_interrupt,
        duration_s=actor.clock.monotonic() - began,
    )


async def _create_apps(actor: Actor, apps: tuple[AppCreation, ...]) -> dict[str, str]:
    """Creates the missing apps; the failures by app name. An app that is there after an error counts as made."""
    failures: dict[str, str] = {}
    for app in apps:
        try:
            await actor.client.create_app(app.name, org=app.org)
            actor.emit(f"{app.name}: app created")
        except ApiError as error:
            if not (error.is_unclear and await actor.client.get_app(app.name)):
                failures[app.name] = f"app {app.name} could not be created: {error.message}"
    return failures


def _without_failed_apps(changes: tuple[Change, ...], failures: dict[str, str]) -> tuple[Change, ...]:
    return tuple(change for change in changes if change.slot.app not in failures)


def _skipped(planned: tuple[Change, ...], tried: tuple[Change, ...]) -> tuple[Entry, ...]:
    tried_addresses = {change.address for change in tried}
    return tuple(
        entry(change, Status.SKIPPED, "its app could not be created")
        for change in planned
        if change.address not in tried_addresses
    )


def _undeferred(change: Change) -> Change:
    """With force, a destroy does not wait for a run in progress."""
    return replace(change, deferred=None) if change.action is Action.DESTROY else change


def _progress(ended: Entry) -> str:
    words = {
        Status.DONE: f"{ended.action.value} done",
        Status.FAILED: f"{ended.action.value} failed",
        Status.SKIPPED: f"{ended.action.value} skipped",
        Status.DEFERRED: f"{ended.action.value} deferred",
        Status.UNKNOWN: f"{ended.action.value}: outcome unknown",
    }
    return f"{ended.address}: {words[ended.status]}" + (f": {ended.detail}" if ended.detail else "")
