"""Create the missing apps side by side; each change begins once its app is there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.apply_event import ApplyEventType
from reconciler.model.plan import AppCreation, Plan
from reconciler.slots.context import Context, new_ulid

_AT_ONCE: Final = 10
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 1.0


class AppCreations:
    """The creations under way. `failures` says in words why an app was not created.

    `own` are the apps that this apply certainly created, `others` those that another apply was first to create.
    """

    def __init__(self, context: Context, plan: Plan, stop: Stop) -> None:
        self._context = context
        self._plan = plan
        self._stop = stop
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self.failures: dict[str, str] = {}
        self.own: set[str] = set()
        self.others: set[str] = set()
        self._run = new_ulid(context.clock.now())
        self.tasks: dict[str, asyncio.Task[None]] = {
            app.name: asyncio.create_task(self._create(app)) for app in plan.apps
        }

    @property
    def created(self) -> tuple[str, ...]:
        """Return the apps that are there because of this apply, once all are settled."""
        return tuple(name for name in self.tasks if name not in self.failures and name not in self.others)

    async def is_there(self, app: str) -> bool:
        """Return whether the app could be created; True for one that was there before."""
        if app in self.tasks:
            await asyncio.wait({self.tasks[app]})
        return app not in self.failures

    async def ended(self) -> None:
        """Return once each app is created or has failed."""
        if self.tasks:
            await asyncio.wait(self.tasks.values())

    async def _create(self, app: AppCreation) -> None:
        async with self._limit:
            if self._stop.why:
                self.failures[app.name] = f"app {app.name} was not created: {self._stop.why}"
                return
            try:
                await self._send(app)
            except ApiError as error:
                hint = f"; {error.hint}" if error.hint else ""
                self.failures[app.name] = f"app {app.name} could not be created: {error.message}{hint}"
                return
            except Exception as error:
                self.failures[app.name] = (
                    f"app {app.name}: whether it was created is unknown: {self._context.explain(error)}"
                )
                return
            if app.name not in self.others:
                self._context.emit(f"{app.name}: app created")
                self._context.tell(ApplyEventType.APP_CREATED, app)
            else:
                self._context.emit(f"{app.name}: another apply has created the app")

    async def _send(self, app: AppCreation) -> None:
        """Create the app. Raises ApiError.

        The key and the unique name make it safe to repeat a call whose reply was lost. The app was not there when it
        was planned, so if its name is taken now another apply may have created it. Either way it may take a while until
        it is known everywhere.
        """
        client = self._context.client
        for left in reversed(range(_ATTEMPTS)):
            try:
                await client.apps.create(app.name, org=app.org, key=creation_key(self._plan, app.name, self._run))
                client.new_apps.add(app.name)
                self.own.add(app.name)
                return
            except ApiError as error:
                if error.kind is ApiErrorKind.NAME_TAKEN:
                    client.new_apps.add(app.name)
                    if await self._is_there(app.name):
                        if left == _ATTEMPTS - 1:  # no earlier try of ours can have made it
                            self.others.add(app.name)
                        return
                if not error.is_unclear or not left:
                    raise
            await self._context.clock.sleep(_PAUSE_S)

    async def _is_there(self, app: str) -> bool:
        """Return whether we may use the app; another organisation's is refused."""
        try:
            return await self._context.client.apps.get(app) is not None
        except ApiError:
            return False


def creation_key(plan: Plan, app: str, run: str) -> str | None:
    """Return the idempotency key for creating the app; None if the plan has no time.

    All tries of one run, which has a ULID, send the same key. Another run has another key: if the app was deleted
    meanwhile, the server must not answer with its first creation. Of two applies only one may take the app as its own.
    """
    if plan.observed_at is None:
        return None
    text = "\n".join((plan.stack, app, plan.observed_at.isoformat(), run))
    return f"reconciler-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@asynccontextmanager
async def creating_apps(context: Context, plan: Plan, stop: Stop) -> AsyncIterator[AppCreations]:
    """Create the plan's apps while the block runs.

    When the block ends, each app is created or has failed.
    """
    creations = AppCreations(context, plan, stop)
    try:
        yield creations
        await asyncio.gather(*creations.tasks.values())
    finally:
        for task in creations.tasks.values():
            task.cancel()
