"""Read the end of a machine's log since its change: why it did not stay up.

Lines come a moment after the crash that they explain, so they are waited for, and never for long. Logs that cannot be
read are told of once and change nothing.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from reconciler.model.machine import Machine
from reconciler.slots.context import Context
from reconciler.slots.log_reader import LogReader

_COUNT: Final = 10
_TIMEOUT_S: Final = 5.0
_QUIET_S: Final = 1.0  # without a new line, once there is one
_POLL_S: Final = 0.5
_PAGE_PAUSE_S: Final = 0.01  # so that no answer at all makes a hot loop
_PATIENCE_S: Final = 3.0  # with a log that cannot be read


async def last_lines(context: Context, machine: Machine, *, since_ms: int) -> tuple[str, ...]:
    """Return at most ten lines, the oldest first; () if none can be read in time."""
    lines: deque[str] = deque(maxlen=_COUNT)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIMEOUT_S):
                await _read(context, LogReader(context, machine, since_ms=since_ms), since_ms, lines)
    except Exception as error:
        context.emit(f"{machine.app}/{machine.name}: its log cannot be read: {context.explain(error)}")
    return tuple(lines)


async def _read(context: Context, reader: LogReader, since_ms: int, lines: deque[str]) -> None:
    """Read until nothing new has come for a moment."""
    quiet_since = context.clock.monotonic()
    while not lines or context.clock.monotonic() - quiet_since < _QUIET_S:
        fresh = await reader.read_within(_PATIENCE_S)
        for line in fresh:
            if (line.is_output or line.is_platform_error) and line.timestamp.timestamp() * 1000 >= since_ms:
                lines.append(line.message)
        if fresh:
            quiet_since = context.clock.monotonic()
        await context.clock.sleep(_PAGE_PAUSE_S if fresh else _POLL_S)
