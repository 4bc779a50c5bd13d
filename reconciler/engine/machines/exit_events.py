"""Decide what the end of a run means: new state, restart, and exit event."""

from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Ended

_DEFAULT_RETRIES: Final = 10
_NOT_KNOWN: Final = "the engine was killed while this ran; its exit code is not known"
UNKNOWN_EXIT: Final = Ended(code=-1, error=_NOT_KNOWN)
"""The end of a run whose engine was killed before it could see the exit code."""


class Settled(NamedTuple):
    """A machine after the end of its run.

    `request` is the payload of the exit event; None where there is no event.
    """

    machine: Machine
    request: dict[str, Any] | None
    is_restarting: bool = False
    is_over: bool = False  # neither restarting nor in the middle of another call


def settle(machine: Machine, ended: Ended, now_ms: int, *, was_asked: bool, retries: int) -> Settled:
    """Return the machine after its run has ended.

    `was_asked` where a stop asked for the end. `retries` is how many restarts by policy came before this end.
    """
    stopped = replace(machine, pids=())
    if machine.state == "suspended" and was_asked:
        return Settled(stopped, None)  # the engine closes: the next start is a cold one
    if machine.state in {
        "destroying",
        "replacing",
        "restarting",
        "starting",
    }:  # starting: after a stop of a suspended one
        is_told = machine.state in {"restarting", "starting"}
        return Settled(stopped, exit_request(ended, now_ms, was_asked=is_told))
    is_restarting = not was_asked and restarts(machine.config, ended, retries)
    request = exit_request(ended, now_ms, was_asked=was_asked, is_restarting=is_restarting, count=retries)
    state = "started" if is_restarting else "stopped"
    should_run = is_restarting or (was_asked and machine.should_run)
    stopped = replace(stopped, state=state, should_run=should_run)
    return Settled(stopped, request, is_restarting=is_restarting, is_over=not is_restarting)


def restarts(config: dict[str, Any], ended: Ended, retries: int) -> bool:
    """Return whether the restart policy starts the machine again after this end."""
    restart = config.get("restart") or {}
    policy = restart.get("policy") or "on-failure"
    if policy == "always":
        return True
    return policy == "on-failure" and ended.code != 0 and retries < (restart.get("max_retries") or _DEFAULT_RETRIES)


def exit_request(
    ended: Ended, now_ms: int, *, was_asked: bool = False, is_restarting: bool = False, count: int = 0
) -> dict[str, Any]:
    """Return the payload of an exit event, as the API spells it.

    -1 stands for no signal.
    """
    exit_event: dict[str, Any] = {
        "exit_code": ended.code,
        "exited_at": now_ms,
        "guest_exit_code": ended.code if ended.signal is None else 0,
        "guest_signal": ended.signal or -1,
        "signal": ended.signal or -1,
        "oom_killed": ended.oom_killed,
        "requested_stop": was_asked,
        "restarting": is_restarting,
    }
    if ended.error:
        exit_event["error"] = ended.error
    return {"exit_event": exit_event, "restart_count": count}
