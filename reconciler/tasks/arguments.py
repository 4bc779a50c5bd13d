"""Check what a program passes to tasks, before any call is made.

A wrong type must not cost a claim.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.invoke.invoke import InvokeOptions, OnBusy
from reconciler.machines_api.access import is_sendable
from reconciler.model.run_policy import LONGEST_S, Override
from reconciler.model.unicode import is_utf8
from reconciler.targets import process_environment


def options_of(
    task: Any,
    *,
    args: Any,
    env: Any,
    key: Any,
    on_busy: Any,
    queue_timeout_s: Any,
    start_timeout_s: Any,
    timeout_s: Any,
    lost_after_s: Any,
) -> InvokeOptions:
    """Return the options of an invoke. Raises TypeError or ValueError, in words."""
    check_text("task", task)
    if key is not None:
        check_text("key", key)
        if not key:
            raise ValueError("key must not be empty: None is no key")
    if timeout_s is not None:
        check_seconds("timeout_s", timeout_s)
        if not 0 < timeout_s <= LONGEST_S:
            raise ValueError(f"timeout_s must be more than 0 and at most {LONGEST_S} seconds, not {timeout_s}")
    check_seconds("queue_timeout_s", queue_timeout_s)
    check_seconds("start_timeout_s", start_timeout_s)
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
    token: Any,
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
    check_text("url", url)
    check_text("who", who)
    for what, value in (("token", token), ("logs_url", logs_url), ("stack", stack)):
        if value is not None:
            check_text(what, value)
    if token and not is_sendable(token):
        raise ValueError("token holds characters that no token has")
    check_flag("paced", paced)
    check_seconds("log_delay_s", log_delay_s)
    check_lost_after(lost_after_s)
    check_callback("emit", emit)


def check_lost_after(value: Any) -> None:
    """Check how long an API may be away. Raises TypeError or ValueError."""
    check_seconds("lost_after_s", value)
    if not 0 < value <= LONGEST_S:
        raise ValueError(f"lost_after_s must be more than 0 and at most {LONGEST_S} seconds, not {value}")


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


def check_flag(what: str, value: Any) -> None:
    """Check a flag: "no" would count as yes. Raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {named(value)}")


def named(value: Any) -> str:
    """Return the name of its type."""
    return type(value).__name__
