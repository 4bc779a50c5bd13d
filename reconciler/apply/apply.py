"""An apply: missing apps first, then the plan's changes, then the truth, read back and planned again."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Final

from reconciler.apply.actions import Options, perform
from reconciler.apply.executor import Stop, execute
from reconciler.apply.read_back import read_back
from reconciler.errors import ApiError, LeaseLostError, ReconcilerError
from reconciler.model import marks
from reconciler.model.plan import Action, AppCreation, Change, Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.spec import PoolKind, Spec
from reconciler.slots.actor import Actor
from reconciler.slots.lease import APPLY_TTL_S, hold_lease

DEFAULT_PARALLELISM: Final = 10


class BlockedError(ReconcilerError):
    """The plan may not be applied as it is: an unobserved app, the brake, a name held by a foreign machine."""


async def apply(
    actor: Actor,
    spec: Spec,
    plan: Plan,
    *,
    parallelism: int = DEFAULT_PARALLELISM,
    lock_timeout_s: float = 60.0,
    force: bool = False,
    only: Collection[str] = (),
    stop: Stop | None = None,
    on_end: Callable[[Entry], None] = lambda _entry: None,
) -> Report:
    """Makes the plan true and reports what is. `spec` is what the plan was made from, needed to read back.

    Raises BlockedError before the first write. Everything later is in the report.
    """
    if plan.blocked:
        raise BlockedError("; ".join(plan.blocked))
    stop = stop or Stop()
    began = actor.clock.monotonic()

    def tell(ended: Entry) -> None:
        on_end(ended)
        actor.emit(_progress(ended))

    failures = await _create_apps(actor, plan.apps)
    effective = _without_failed_apps(plan.effective, failures)
    options = Options(stack=plan.stack, lock_timeout_s=lock_timeout_s, force=force)
    entries = await execute(
        tuple(_undeferred(change) if force else change for change in effective),
        partial(_perform, actor, options=options),
        parallelism=parallelism,
        stop=stop,
        on_end=tell,
    )
    entries += _skipped(plan.effective, effective)
    await _announce_want(actor, effective, entries)
    mismatches = () if stop.requested else await read_back(actor, spec, plan, entries, only)
    return Report(
        plan=plan,
        entries=entries,
        apps_created=tuple(app.name for app in plan.apps if app.name not in failures),
        mismatches=mismatches,
        failures=tuple(failures.values()),
        interrupted=stop.requested,
        duration_s=actor.clock.monotonic() - began,
    )


async def _perform(actor: Actor, change: Change, *, options: Options) -> Entry:
    return await perform(actor, change, options)


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
        Entry(slot=change.slot, action=change.action, status=Status.SKIPPED, detail="its app could not be created")
        for change in planned
        if change.address not in tried_addresses
    )


def _undeferred(change: Change) -> Change:
    """With force, a destroy does not wait for a run in progress."""
    return replace(change, deferred=None) if change.action is Action.DESTROY else change


async def _announce_want(actor: Actor, changes: tuple[Change, ...], entries: tuple[Entry, ...]) -> None:
    """Tells the pool's desired digest on an anchor that is busy: its own update carries it only once it is at rest."""
    deferred = {ended.slot for ended in entries if ended.status is Status.DEFERRED}
    for change in changes:
        is_anchor = change.anchor == change.slot.name and change.action is Action.UPDATE
        if not (is_anchor and change.slot in deferred and change.kind is PoolKind.TASK):
            continue
        assert change.machine_id is not None
        assert change.desired_digest is not None
        try:
            async with hold_lease(
                actor, change.slot.app, change.machine_id, verb="apply", ttl_s=APPLY_TTL_S, patience_s=10
            ) as lease:
                lease.guard()
                await actor.client.set_metadata(change.slot.app, change.machine_id, marks.WANT, change.desired_digest)
        except (ApiError, LeaseLostError) as error:
            actor.emit(f"{change.slot.name}: could not announce the new config: {error.message}")


def _progress(ended: Entry) -> str:
    words = {
        Status.DONE: f"{ended.action.value} done",
        Status.FAILED: f"{ended.action.value} failed",
        Status.SKIPPED: f"{ended.action.value} skipped",
        Status.DEFERRED: f"{ended.action.value} deferred",
        Status.UNKNOWN: f"{ended.action.value}: outcome unknown",
    }
    return f"{ended.slot.address}: {words[ended.status]}" + (f": {ended.detail}" if ended.detail else "")
