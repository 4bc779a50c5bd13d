"""`python -m reconciler.engine --home DIR`: the engine in a process of its own."""

import argparse
import sys
from pathlib import Path

from reconciler.engine.home import EngineStartError
from reconciler.engine.serve import run_engine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reconciler.engine")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--runtime", default="process")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency")
    parser.add_argument("--adversity", type=Path)
    given = parser.parse_args()
    try:
        run_engine(given.home, runtime=given.runtime, port=given.port, latency=given.latency, adversity=given.adversity)
    except EngineStartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
