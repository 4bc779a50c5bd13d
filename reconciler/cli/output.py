"""A task's own lines, written where they belong, and how it ended, for where they could not be."""

import sys
from typing import TYPE_CHECKING

from reconciler.cli.options import Shared
from reconciler.cli.streams import as_it_is, current
from reconciler.model.run import OutcomeName

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.machines_api.client import LogLine
    from reconciler.model.run import Outcome


def printer(options: Shared, *, with_times: bool = False) -> "Callable[[LogLine], None]":
    """Writes each line to the stream that it came from; with -o json to stderr, since stdout holds the result."""

    def take(line: "LogLine") -> None:
        stream = as_it_is(sys.stderr if options.is_json or line.stream == "stderr" else sys.stdout)
        time = f"{line.timestamp:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z " if with_times else ""
        if stream is not None:  # None: closed before we were started
            stream.write(f"{time}{line.message}\n")
            stream.flush()

    return take


def keep_outcome(run: str, outcome: "Outcome") -> bool:
    """Keeps how the run ended for whoever lacks its output; whether all of that could be written so far."""
    output = current()
    is_own = outcome.name in {OutcomeName.SUCCEEDED, OutcomeName.FAILED}
    output.result = f"the task ended with {outcome.task_code}" if is_own else f"{run}: {outcome.message}"
    return output.failure is None
