"""What an end of a machine's start means: whether it starts again, and its event as the API spells it."""

from typing import Any, Final

from reconciler.engine.runtime.base import Ended

_DEFAULT_RETRIES: Final = 10
_NOT_KNOWN: Final = "the engine was killed while this ran; its exit code is not known"
UNKNOWN_EXIT: Final = Ended(code=-1, error=_NOT_KNOWN)
"""Of what ran when its engine was killed: it has ended, and nobody saw how."""


def restarts(config: dict[str, Any], ended: Ended, retries: int) -> bool:
    """Whether the machine's restart policy starts it again after this end and so many retries."""
    restart = config.get("restart") or {}
    policy = restart.get("policy") or "on-failure"
    if policy == "always":
        return True
    return policy == "on-failure" and ended.code != 0 and retries < (restart.get("max_retries") or _DEFAULT_RETRIES)


def exit_request(
    ended: Ended, now_ms: int, *, was_asked: bool = False, is_restarting: bool = False, count: int = 0
) -> dict[str, Any]:
    """The payload of an exit event; a signal that is none is -1."""
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
