"""`python -m reconciler.engine --home DIR`: the engine in a process of its own.

What starts it gives the arguments, and a descriptor to `--tell`: closed once it serves, after the start error if not.
"""

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.engine.errors import EngineStartError

_OPTIONS: Final = ("--home", "--runtime", "--port", "--latency", "--adversity", "--tell")


def main() -> int:
    given = _options(sys.argv[1:])
    tell = os.fdopen(int(given["--tell"]) if "--tell" in given else os.open(os.devnull, os.O_WRONLY), "wb", 0)
    os.set_inheritable(tell.fileno(), False)
    adversity = given.get("--adversity")
    gc.disable()  # what is imported stays: there is nothing to collect meanwhile
    from reconciler.engine.server.serve import run_engine

    gc.freeze()
    gc.enable()
    try:
        run_engine(
            Path(given["--home"]),
            runtime=given.get("--runtime", "process"),
            port=int(given.get("--port", "0")),
            latency=given.get("--latency"),
            fault_file=Path(adversity) if adversity else None,
            ready=lambda _status: tell.close(),
        )
    except EngineStartError as error:
        with suppress(OSError, ValueError):  # the disk may be full, who started it gone, the descriptor closed
            sys.stderr.write(f"{error}\n")
        with suppress(OSError, ValueError):
            tell.write(error.to_text().encode())
        return 1
    return 0


def _options(words: list[str]) -> dict[str, str]:
    """Return the values of the options.

    There are few, and argparse takes long to import.
    """
    given = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or "--home" not in given or not given.keys() <= set(_OPTIONS):
        sys.exit(f"usage: python -m reconciler.engine --home DIR, with values for any of {', '.join(_OPTIONS[1:])}")
    return given


if __name__ == "__main__":
    sys.exit(main())
