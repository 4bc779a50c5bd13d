"""Delete the apps of a plan, once the stack's machines in them are destroyed.

No lease prevents the deletion of an app, and all that is in it is lost. So each app is looked into once more right
before the call, and again before a repeat. The call is done when a GET no longer finds the app.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.app_contents import AppContents
from reconciler.model.apply_event import ApplyEventType
from reconciler.model.plan import AppDeletion, Plan
from reconciler.model.report import AppEntry, Entry, Reason, Status
from reconciler.planner.app_deletions import in_the_way
from reconciler.slots.context import Context

_AT_ONCE: Final = 5
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 1.0
_LOOKS: Final = 60  # reads after which an app that was to be deleted counts as still there
_LOOKS_UNCLEAR: Final = 5  # after an unclear reply
_NO_ACCESS: Final = frozenset({ApiErrorKind.UNAUTHORIZED, ApiErrorKind.FORBIDDEN})
_WAITS: Final = frozenset({Reason.OVERTAKEN, Reason.RUN})


async def delete_apps(
    context: Context, plan: Plan, entries: Collection[Entry], stop: Stop, *, is_read_back: bool
) -> tuple[AppEntry, ...]:
    """Delete the plan's apps, and return how each deletion ended.

    `entries` are the ends of the plan's changes; `is_read_back` says whether what they did was found so.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(deletion: AppDeletion) -> AppEntry:
        own = [ended for ended in entries if ended.app == deletion.app]
        async with limit:
            return _ended(context, await _delete(context, deletion.app, own, stop, is_read_back=is_read_back))

    return tuple(await asyncio.gather(*(one(deletion) for deletion in plan.app_deletions)))


async def _delete(context: Context, app: str, own: list[Entry], stop: Stop, *, is_read_back: bool) -> AppEntry:
    undone = [ended for ended in own if ended.status is not Status.DONE]
    if undone:
        is_later = all(ended.status is Status.DEFERRED or ended.reason in _WAITS for ended in undone)
        status = Status.DEFERRED if is_later else Status.SKIPPED
        return AppEntry(app=app, status=status, detail="not all of its machines are destroyed")
    if stop.why:
        return AppEntry(app=app, status=Status.SKIPPED, detail=stop.why)
    if not is_read_back:
        return AppEntry(app=app, status=Status.SKIPPED, detail="what was destroyed could not be read back as such")
    try:
        return await _delete_empty(context, app, {ended.machine_id for ended in own})
    except Exception as error:
        return AppEntry(app=app, status=Status.FAILED, detail=context.explain(error))


async def _delete_empty(context: Context, app: str, destroyed: Collection[str | None]) -> AppEntry:
    """Delete the app if nothing is in it but what was `destroyed`. Raises ApiError."""
    why = ""
    for _ in range(_ATTEMPTS):
        if others := await _others(context, app, destroyed):
            said = f"it was not deleted: since it was planned there is {', '.join(others)} in it"
            return AppEntry(app=app, status=Status.FAILED, detail=said)
        why = await _send(context, app)
        if await _is_gone(context, app, is_accepted=not why):
            return AppEntry(app=app, status=Status.DONE)
        if not why:
            break
    why = why or "the platform accepted it, and still shows the app"
    return AppEntry(app=app, status=Status.UNKNOWN, detail=f"whether it was deleted is unknown: {why}")


async def _others(context: Context, app: str, destroyed: Collection[str | None]) -> list[str]:
    """Name what is in the app now and is not known to be destroyed. Raises ApiError."""
    client = context.client
    machines = await client.list_machines(app) or ()
    contents = AppContents(volumes=await client.apps.volumes(app), certificates=await client.apps.certificates(app))
    live = [one for one in machines if not one.state.is_gone and one.id not in destroyed]
    return [*(f"machine {one.name or one.id}" for one in live), *in_the_way(contents)]


async def _send(context: Context, app: str) -> str:
    """Send the call; return why its effect is unclear, or "".

    Raises ApiError if it was refused.
    """
    context.client.new_apps.forget(app)  # else a GET would wait for it to be known
    try:
        await context.client.apps.delete(app)
    except ApiError as error:
        if not error.is_unclear:
            raise
        return error.message
    return ""


async def _is_gone(context: Context, app: str, *, is_accepted: bool) -> bool:
    """Return whether a GET no longer finds the app, within a while. Raises ApiError.

    A token that may no longer read the app was one of this app alone: what it may read ends with it.
    """
    for left in reversed(range(_LOOKS if is_accepted else _LOOKS_UNCLEAR)):
        try:
            if await context.client.apps.get(app) is None:
                return True
        except ApiError as error:
            if is_accepted and error.kind in _NO_ACCESS:
                return True
            if not error.is_unclear:
                raise
        if left:
            await context.clock.sleep(_PAUSE_S)
    return False


def _ended(context: Context, ended: AppEntry) -> AppEntry:
    """Tell how the deletion ended, and return that."""
    words = "app deleted" if ended.status is Status.DONE else f"deletion {ended.status}: {ended.detail}"
    context.emit(f"{ended.app}: {words}")
    if ended.status is Status.DONE:
        context.tell(ApplyEventType.APP_DELETED, ended)
    return ended
