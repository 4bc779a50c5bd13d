"""Where an operation works: a target, and the context that talks to it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reconciler.hidden import HidesFields
from reconciler.targets import Target, who_asks

if TYPE_CHECKING:
    import httpx

    from reconciler.clock import Clock
    from reconciler.machines_api.transport import TraceEntry
    from reconciler.slots.context import Context, Emit


def learn_nothing(_secret: str) -> None:
    """Stand in for a caller who conceals nothing."""


class Session(HidesFields, frozen=True, kw_only=True):
    """A target, and the clients that talk to it.

    Credentials of image registries are found in `environment`. `learn` gets each secret that is found there, so that
    the caller can conceal it.
    """

    _hidden = frozenset({"environment"})

    context: "Context"
    target: Target
    environment: Mapping[str, str]
    learn: Callable[[str], None] = learn_nothing


@asynccontextmanager
async def open_session(
    target: Target,
    environment: Mapping[str, str],
    *,
    emit: "Emit",
    debug: Callable[[Exception], None] | None = None,
    trace: "Callable[[TraceEntry], None] | None" = None,
    learn: Callable[[str], None] = learn_nothing,
    who: str | None = None,
    clock: "Clock | None" = None,
    transport: "httpx.AsyncBaseTransport | None" = None,
) -> AsyncIterator[Session]:
    """Open a session on the target for the block.

    `emit` takes progress, `trace` each call, `debug` unexpected errors. `who` is the name under which leases are taken;
    without it, the name is found in the environment.
    """
    from reconciler.clock import SystemClock
    from reconciler.machines_api.client import MachinesClient
    from reconciler.slots.context import Context, debug_nothing

    clock = clock or SystemClock()
    async with MachinesClient(
        base_url=target.base_url,
        token=target.token,
        clock=clock,
        transport=transport,
        logs_url=target.logs_url,
        paced=target.is_paced,
        trace=trace,
        relocate=target.local.find_url if target.local else None,
        notice=emit,
    ) as client:
        context = Context(
            client=client,
            clock=clock,
            who=who or who_asks(environment),
            emit=emit,
            debug=debug or debug_nothing,
            local=target.local,
        )
        yield Session(context=context, target=target, environment=environment, learn=learn)
