"""Find out how far a server is what we assume.

Connect to it, check that the app's name is free, and run the probes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.targets import Target

if TYPE_CHECKING:
    from reconciler.conformance.laboratory import Laboratory
    from reconciler.conformance.new_app import NewApp
    from reconciler.conformance.runner import Stop
    from reconciler.machines_api.transport import TraceEntry
    from reconciler.model.conformance import Conformance, ProbeResult
    from reconciler.slots.context import Emit


class Examination(Struct, frozen=True, kw_only=True):
    """What is about to be done to a server, on an app whose name is free."""

    lab: "Laboratory"
    app: "NewApp"

    async def run(self, stop: "Stop", on_end: "Callable[[ProbeResult], None]") -> "Conformance":
        """Make the app, run all probes, and delete the app.

        Raises ReconcilerError if the app cannot be made.
        """
        from reconciler.conformance.catalogue import PROBES
        from reconciler.conformance.runner import conform
        from reconciler.slots.context import new_ulid

        key = new_ulid(self.lab.clock.now())
        return await conform(self.lab, self.app, PROBES, stop, key=key, on_end=on_end)


@asynccontextmanager
async def open_examination(
    target: Target,
    *,
    app: str,
    org: str,
    region: str | None,
    image: str,
    emit: "Emit",
    trace: "Callable[[TraceEntry], None] | None" = None,
) -> AsyncIterator[Examination]:
    """Prepare the examination for the block; nothing is made yet.

    Raises UsageError if the app exists, TargetError or ApiError if the server does not tell.
    """
    from reconciler import clock as clocks
    from reconciler.conformance.laboratory import Laboratory
    from reconciler.conformance.new_app import NewApp
    from reconciler.machines_api import raw

    clock = clocks.SystemClock()
    async with raw.RawApi(
        base_url=target.base_url, token=target.token, clock=clock, paced=target.is_paced, trace=trace, notice=emit
    ) as api:
        new_app = NewApp(api=api, clock=clock, name=app, org=org)
        await new_app.check_name()
        yield Examination(lab=Laboratory(api, clock, app=app, region=region, image=image), app=new_app)
