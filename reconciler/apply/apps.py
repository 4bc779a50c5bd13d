"""The apps that an apply has to create: side by side, and each change begins as soon as its own app is there."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.plan import AppCreation
from reconciler.slots.actor import Actor

_AT_ONCE: Final = 10
_MAY_BE_THERE: Final = frozenset({ApiErrorKind.UNCLEAR, ApiErrorKind.NAME_TAKEN})


class AppCreations:
    """The creations that are under way. `failures` are those that have ended so far, by app, in words."""

    def __init__(self, actor: Actor, apps: Iterable[AppCreation], stop: Stop) -> None:
        self._actor = actor
        self._stop = stop
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self.failures: dict[str, str] = {}
        self.tasks = {app.name: asyncio.create_task(self._create(app)) for app in apps}

    async def is_there(self, app: str) -> bool:
        """Whether the app could be created, once that is known; True for one that was there before."""
        if app in self.tasks:
            await asyncio.wait({self.tasks[app]})
        return app not in self.failures

    async def _create(self, app: AppCreation) -> None:
        async with self._limit:
            if self._stop.why:
                self.failures[app.name] = f"app {app.name} was not created: {self._stop.why}"
                return
            try:
                await self._actor.client.create_app(app.name, org=app.org)
            except ApiError as error:
                if not (error.kind in _MAY_BE_THERE and await self._is_there_after_all(app.name)):
                    self.failures[app.name] = f"app {app.name} could not be created: {error.message}"
                    return
            except Exception as error:
                self.failures[app.name] = (
                    f"app {app.name}: whether it was created is unknown: {self._actor.explain(error)}"
                )
                return
            self._actor.emit(f"{app.name}: app created")

    async def _is_there_after_all(self, app: str) -> bool:
        """A lost reply leaves open whether the app was made; a name that is taken may be so by another apply."""
        try:
            return await self._actor.client.get_app(app) is not None
        except ApiError:
            return False


@asynccontextmanager
async def creating_apps(actor: Actor, apps: Iterable[AppCreation], stop: Stop) -> AsyncIterator[AppCreations]:
    """Creates the apps meanwhile; at the end of the block all of them are created, or have failed."""
    creations = AppCreations(actor, apps, stop)
    try:
        yield creations
        await asyncio.gather(*creations.tasks.values())
    finally:
        for task in creations.tasks.values():
            task.cancel()
