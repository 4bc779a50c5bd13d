"""The target of this call, and an context that talks to it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared
from reconciler.targets import Target, resolve_target, who_asks

if TYPE_CHECKING:
    from reconciler.slots.context import Context, Emit


def resolve(shared: Shared) -> Target:
    """The target of this call: the flag's, else the environment's. Starts the local engine where it is not running."""
    target = resolve_target(os.environ, shared.target)
    streams.learn(target.token)
    return target


@asynccontextmanager
async def open_context(shared: Shared, target: Target, emit: "Emit") -> "AsyncIterator[Context]":
    """An context that talks to the target, for the block."""
    from reconciler.clock import SystemClock
    from reconciler.machines_api.client import MachinesClient
    from reconciler.machines_api.transport import TraceEntry
    from reconciler.slots.context import Context

    def trace(entry: TraceEntry) -> None:
        status = entry.status or "no answer"
        took_ms = entry.duration_s * 1000
        console.say(f"{entry.method} {entry.path} -> {status} {took_ms:.0f} ms {entry.request_id or ''}".rstrip())

    def debug(error: Exception) -> None:
        if shared.is_debugging:
            import traceback

            console.say("".join(traceback.format_exception(error)).rstrip())

    clock = SystemClock()
    async with MachinesClient(
        base_url=target.base_url,
        token=target.token,
        clock=clock,
        logs_url=target.logs_url,
        paced=target.is_paced,
        trace=trace if shared.is_tracing else None,
        relocate=target.local.find_url if target.local else None,
        notice=emit,
    ) as client:
        yield Context(client=client, clock=clock, who=who_asks(os.environ), emit=emit, debug=debug, local=target.local)
