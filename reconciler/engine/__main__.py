"""`python -m reconciler.engine --home DIR`: the engine in a process of its own."""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from reconciler.engine.errors import EngineStartError
from reconciler.engine.server.serve import run_engine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reconciler.engine")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--runtime", default="process")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency")
    parser.add_argument("--adversity", type=Path)
    parser.add_argument("--errors-to", type=int, metavar="FD", help="why it does not start, for who started it")
    given = parser.parse_args()
    if given.errors_to is not None:
        os.set_inheritable(given.errors_to, False)
    try:
        run_engine(
            given.home, runtime=given.runtime, port=given.port, latency=given.latency, fault_file=given.adversity
        )
    except EngineStartError as error:
        with suppress(OSError):  # the disk may be full, and who started it gone
            if given.errors_to is not None:
                os.write(given.errors_to, error.to_text().encode())
            sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
