"""Carry out `engine start` without click.

Importing that takes longer than all else that this command does. Only where nothing but these two words says how the
engine is to start: any other line is click's.
"""

import os
import sys
from typing import TYPE_CHECKING

from reconciler.engine.errors import EngineStartError
from reconciler.engine.server.daemon import EngineStatus, start_engine
from reconciler.engine_home import engine_home

if TYPE_CHECKING:
    from reconciler.errors import TargetError

_OF_CLICK = ("RECONCILER_LOG", "RECONCILER_RUNTIME")  # variables that stand for options


def start_quickly() -> "int | TargetError | None":
    """Start the engine and say so; return the exit code, or why it does not start.

    Return None for what is left to click: also a line that cannot be written, of which it says why.
    """
    if any(os.environ.get(name) for name in _OF_CLICK) or sys.stderr is None:
        return None
    try:
        status = start_engine(engine_home(os.environ))
    except EngineStartError as error:
        return not_started(error)
    try:
        sys.stderr.write(f"{started_line(status)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return None
    return 0


def started_line(status: EngineStatus) -> str:
    """Return what is said of an engine that runs; nothing in it is a user's."""
    return f"the engine serves {status.url} (pid {status.pid})"


def not_started(error: EngineStartError) -> "TargetError":
    """Return the error of a command whose engine does not start."""
    from reconciler.errors import TargetError

    return TargetError(f"the local engine does not start: {error}", hint=error.remedy)
