"""Run tasks from your own code: `Tasks` for threads, `AsyncTasks` for asyncio.

No YAML is needed.
"""

from reconciler.errors import LogsIncompleteError, NotStartedError, ReconcilerError
from reconciler.model.run import NeverStarted, Outcome, OutcomeName, RunInfo, RunState
from reconciler.tasks.async_run import AsyncRun
from reconciler.tasks.asynchronous import AsyncTasks
from reconciler.tasks.synchronous import Run, Tasks

__all__ = [
    "AsyncRun",
    "AsyncTasks",
    "LogsIncompleteError",
    "NeverStarted",
    "NotStartedError",
    "Outcome",
    "OutcomeName",
    "ReconcilerError",
    "Run",
    "RunInfo",
    "RunState",
    "Tasks",
]
