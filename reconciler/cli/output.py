"""A task's own lines, written where they belong."""

import sys
from typing import TYPE_CHECKING

from reconciler.cli.concealing import as_it_is
from reconciler.cli.options import Shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.machines_api.client import LogLine


def printer(options: Shared, *, with_times: bool = False) -> "Callable[[LogLine], None]":
    """Writes each line to the stream that it came from; with -o json to stderr, since stdout holds the result."""

    def take(line: "LogLine") -> None:
        stream = as_it_is(sys.stderr if options.is_json or line.stream == "stderr" else sys.stdout)
        time = f"{line.timestamp:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z " if with_times else ""
        if stream is not None:  # None: closed before we were started
            stream.write(f"{time}{line.message}\n")
            stream.flush()

    return take
