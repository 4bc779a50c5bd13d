"""Run what goes on besides calls: checks, proxy, schedules, cleanup."""

from reconciler.engine.engine import Engine
from reconciler.engine.models import Address
from reconciler.engine.services.checks import Checks
from reconciler.engine.services.proxy import Proxy
from reconciler.engine.services.schedules import Schedules
from reconciler.engine.store.cleanup import Cleanup


class BackgroundServices:
    """The background services of an engine.

    Start them before the engine, and close them before it.
    """

    def __init__(self, engine: Engine) -> None:
        self._proxy = Proxy(engine)
        self._parts = (Checks(engine), self._proxy, Schedules(engine), Cleanup(engine))

    @property
    def addresses(self) -> list[Address]:
        """Return where the ports of services are served."""
        return self._proxy.addresses

    def start(self) -> None:
        """Start all of them."""
        for part in self._parts:
            part.start()

    async def close(self) -> None:
        """Close all of them, the last started first."""
        for part in reversed(self._parts):
            await part.close()
