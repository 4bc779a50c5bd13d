"""Say what is wrong with a service."""

from collections.abc import Sequence
from typing import Final

from reconciler.model.crashes import Crash, exit_words
from reconciler.model.machine import Check, Event

_CHECKS_SHOWN: Final = 4


def crash_words(crash: Crash, run: Sequence[Event]) -> str:
    """Return such as `exited with code 1 after 0.2 s, and was restarted once`.

    `run` are the events from the start on.
    """
    ended = next(event for event in reversed(run) if event.exit is crash.ended)
    after_s = max(0, ended.timestamp_ms - run[-1].timestamp_ms) / 1000
    words = f"{exit_words(crash.ended)} after {after_s:.1f} s"
    if crash.restarts:
        times = "once" if crash.restarts == 1 else f"{crash.restarts} times"
        return f"{words}, and was restarted {times}"
    return f"{words}, and is being restarted" if crash.ended.restarting else words


def failing_words(failing: Sequence[Check]) -> str:
    """List the checks that do not pass, and what they said, if they reported."""
    if not failing:
        return "no report"
    shown = [f"{check.name} {check.status}" + (f" ({check.output})" if check.output else "") for check in failing]
    more = f" and {len(failing) - _CHECKS_SHOWN} more" if len(failing) > _CHECKS_SHOWN else ""
    return ", ".join(shown[:_CHECKS_SHOWN]) + more
