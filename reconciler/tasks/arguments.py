"""Check what a program passes to tasks, before any call is made.

A wrong type must not cost a claim.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.canonical.durations import nanoseconds
from reconciler.invoke.invoke import InvokeOptions, OnBusy
from reconciler.machines_api.access import FLY_API_URL, is_sendable
from reconciler.model.run_policy import LONGEST_S, Override
from reconciler.model.secret import Secret
from reconciler.model.unicode import is_utf8
from reconciler.targets import FLY, Target, name_of_target, process_environment

QUEUE_TIMEOUT: Final = "10m"
START_TIMEOUT: Final = "1m"
_LOG_DELAY_S: Final = 3.0  # how late log lines may come after an exit, as on Fly


def options_of(
    task: Any,
    *,
    args: Any,
    env: Any,
    key: Any,
    on_busy: Any,
    queue_timeout: Any,
    start_timeout: Any,
    timeout: Any,
    queue_timeout_s: Any,
    start_timeout_s: Any,
    timeout_s: Any,
    lost_after_s: Any,
) -> InvokeOptions:
    """Return the options of an invoke. Raises TypeError or ValueError, in words."""
    timeout_s = seconds_of(timeout, timeout_s)
    queue_timeout_s = seconds_of(queue_timeout, queue_timeout_s, what="queue_timeout", default=QUEUE_TIMEOUT)
    start_timeout_s = seconds_of(start_timeout, start_timeout_s, what="start_timeout", default=START_TIMEOUT)
    check_text("task", task)
    if key is not None:
        check_text("key", key)
        if not key:
            raise ValueError("key must not be empty: None is no key")
    if timeout_s is not None:
        check_seconds("timeout_s", timeout_s)
        if not 0 < timeout_s <= LONGEST_S:
            name = "timeout_s" if timeout is None else "timeout"
            raise ValueError(f"{name} must be more than 0 and at most {LONGEST_S} seconds, not {timeout_s}")
    check_seconds("queue_timeout", queue_timeout_s)
    check_seconds("start_timeout", start_timeout_s)
    check_seconds("lost_after_s", lost_after_s)
    return InvokeOptions(
        on_busy=OnBusy(on_busy),
        queue_timeout_s=queue_timeout_s,
        start_timeout_s=start_timeout_s,
        timeout_s=timeout_s,
        lost_after_s=lost_after_s,
        key=key,
        override=Override(args=_words(args), env=_variables(env)),
    )


def check_tasks(
    app: Any,
    *,
    target: Any,
    token: Any,
    environment: Any,
    url: Any,
    logs_url: Any,
    stack: Any,
    who: Any,
    paced: Any,
    log_delay_s: Any,
    lost_after_s: Any,
    emit: Any = None,
) -> None:
    """Check what the tasks of an app are made of. Raises TypeError or ValueError."""
    check_text("app", app)
    for what, value in (("token", token), ("url", url), ("logs_url", logs_url), ("stack", stack), ("who", who)):
        if value is not None:
            check_text(what, value)
    if token and not is_sendable(token):
        raise ValueError("token holds characters that no token has")
    check_target(target)
    if target is not None and url is not None:
        raise TypeError("pass `target` or `url`, not both")
    environment_of(environment)
    if paced is not None:
        check_flag("paced", paced)
    if log_delay_s is not None:
        check_seconds("log_delay_s", log_delay_s)
    check_lost_after(lost_after_s)
    check_callback("emit", emit)


def check_lost_after(value: Any) -> None:
    """Check how long an API may be away. Raises TypeError or ValueError."""
    check_seconds("lost_after_s", value)
    if not 0 < value <= LONGEST_S:
        raise ValueError(f"lost_after_s must be more than 0 and at most {LONGEST_S} seconds, not {value}")


def check_since(value: Any) -> None:
    """Check from when on runs are listed. Raises TypeError or ValueError."""
    if value is not None and not isinstance(value, datetime | timedelta):
        raise TypeError(f"since must be a datetime or a timedelta, not {named(value)}")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("since must have a time zone, as datetime.now(UTC) has")


def check_target(value: Any) -> None:
    """Check what names the target, or is one. Raises TypeError or ValueError."""
    if value is not None and not isinstance(value, Target):
        check_text("target", value)


def shown_target(target: Target | str | None, environment: Mapping[str, str]) -> str:
    """Return the name of the target as it may be shown.

    Of a URL the user, password and query are left out.
    """
    name = target.name if isinstance(target, Target) else name_of_target(environment, target)
    return re.sub(r"[?#].*", "", re.sub(r"^(\w+://)?.*@", r"\1", name))


def named_target(target: Target | str | None, url: str | None, token: str | None) -> Target | str | None:
    """Return the target that is named.

    It is Fly, or the API at `url`, for a token of the caller's own. None is what the environment says.
    """
    if target is not None or (url is None and token is None):
        return target
    base_url = (url or FLY_API_URL).removesuffix("/").removesuffix("/v1")
    return Target(
        name=url or FLY,
        base_url=base_url,
        logs_url=base_url,
        token=Secret(token) if token else None,
        is_paced=False,
        log_delay_s=_LOG_DELAY_S,
    )


def with_token(environment: Mapping[str, str], token: str | None) -> Mapping[str, str]:
    """Return the environment in which this token, if any, comes before all others."""
    return environment if token is None else {**environment, "FLY_ACCESS_TOKEN": token}


def environment_of(value: Any) -> Mapping[str, str]:
    """Return the given environment; the process's own if None. Raises TypeError."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"environment must be a map of names to strings, not {named(value)}")
    return process_environment() if value is None else value


def check_callback(what: str, value: Any) -> None:
    """Check what is to be called. Raises TypeError."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a function or None, not {named(value)}")


def _words(args: Any) -> tuple[str, ...] | None:
    if args is None:
        return None
    if isinstance(args, str | bytes | bytearray) or not isinstance(args, Sequence):
        raise TypeError(f"args must be a list of strings, one for each word, not {named(args)}")
    for position, word in enumerate(args):
        check_text(f"args[{position}]", word)
    return tuple(args)


def _variables(env: Any) -> tuple[tuple[str, str], ...]:
    if env is None:
        return ()
    if not isinstance(env, Mapping):
        raise TypeError(f"env must be a map of names to strings, not {named(env)}")
    for name, value in env.items():
        check_text("a name in env", name)
        check_text(f"env[{name!r}]", value)
    return tuple(env.items())


def check_text(what: str, value: Any) -> None:
    """Check a string. Raises TypeError or ValueError if no call can hold it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string, not {named(value)}")
    if not is_utf8(value):
        raise ValueError(f"{what} must be text that UTF-8 can hold, without lone surrogates")


def check_seconds(what: str, value: Any) -> None:
    """Check a duration. Raises TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {named(value)}")
    if math.isnan(value) or value < 0:
        raise ValueError(f"{what} must be 0 or more seconds, not {value}")


def seconds_of(value: Any, seconds: Any = None, *, what: str = "timeout", default: Any = None) -> Any:
    """Return the seconds of a duration such as `10m`; numbers are seconds already.

    `seconds` is the same by its older name, which ends in `_s`. Raises TypeError or ValueError.
    """
    if seconds is not None:
        if value != default:
            raise TypeError(f"pass `{what}` or `{what}_s`, not both")
        check_seconds(f"{what}_s", seconds)
        return seconds
    if value is None:
        return None
    if not isinstance(value, str):
        check_seconds(what, value)
        return value
    found = nanoseconds(value)
    if isinstance(found, str):
        raise ValueError(f"{what} is {value!r}: write it like 30s, 10m or 1h30m, or as a number of seconds")
    return found / 1e9


def check_flag(what: str, value: Any) -> None:
    """Check a flag: "no" would count as yes. Raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {named(value)}")


def named(value: Any) -> str:
    """Return the name of its type."""
    return type(value).__name__
