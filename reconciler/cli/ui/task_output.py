"""Write a task's own lines where they belong, and keep how it ended.

The end is for whoever lacks lines that could not be written.
"""

import json
import sys
from typing import TYPE_CHECKING, TextIO

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared
from reconciler.cli.ui.streams import as_it_is, current
from reconciler.model.run import OutcomeName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.machines_api.logs import LogLine
    from reconciler.model.machine import Machine
    from reconciler.model.run import Outcome


def printer(options: Shared, *, with_times: bool = False) -> "Callable[[LogLine], None]":
    """Return what writes each line to the stream that it came from.

    With -o json all go to stderr, since stdout holds the result. Between the attempts of a run that the platform
    started again stands a line on stderr.
    """
    attempt = 1

    def take(line: "LogLine") -> None:
        nonlocal attempt
        if line.attempt != attempt:
            attempt = line.attempt
            console.say(
                f"--- attempt {attempt}: started again by the platform ---" if attempt > 1 else "--- attempt 1 ---"
            )
        stream = as_it_is(sys.stderr if options.is_json or line.stream == "stderr" else sys.stdout)
        time = f"{spelled_time(line)} " if with_times else ""
        _write(stream, f"{time}{line.message}")

    return take


def object_printer(run_id: str, machine: "Machine") -> "Callable[[LogLine], None]":
    """Return what writes each line of the run to stdout as a JSON object."""
    current().has_document = True

    def take(line: "LogLine") -> None:
        _write(as_it_is(sys.stdout), line_json(line, machine, run=run_id, attempt=line.attempt))

    return take


def machine_printer(
    options: Shared, *, with_times: bool = False
) -> "Callable[[Sequence[tuple[LogLine, Machine]]], None]":
    """Return what writes each line to stdout, behind its machine's name or as JSON."""
    current().has_document = options.is_json

    def take(lines: "Sequence[tuple[LogLine, Machine]]") -> None:
        stream = as_it_is(sys.stdout)
        if stream is None:  # closed before we were started
            return
        for line, machine in lines:
            if options.is_json:
                stream.write(f"{line_json(line, machine)}\n")
            else:
                time = f"{spelled_time(line)} " if with_times else ""
                stream.write(f"{time}{machine.name} | {line.message}\n")
        stream.flush()

    return take


def line_json(line: "LogLine", machine: "Machine", **of_a_run: str | int) -> str:
    """Return one line of a machine's output as JSON (schemas/log-line.schema.json)."""
    told = {
        "timestamp": spelled_time(line),
        "app": machine.app,
        "slot": machine.name,
        "machine": machine.id,
        **of_a_run,
        "stream": line.stream,
        "message": line.message,
    }
    return json.dumps(told)


def spelled_time(line: "LogLine") -> str:
    """Spell a time: `2026-01-31T23:59:59.000Z`."""
    return f"{line.timestamp:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # None: closed before we were started
        stream.write(f"{text}\n")
        stream.flush()


def keep_outcome(run: str, outcome: "Outcome") -> bool:
    """Keep how the run ended, for whoever lacks its output.

    Return whether all of the output could be written so far.
    """
    output = current()
    is_own = outcome.name in {OutcomeName.SUCCEEDED, OutcomeName.FAILED}
    output.result = f"the task ended with {outcome.task_code}" if is_own else f"{run}: {outcome.message}"
    return output.failure is None
