"""Start the command's process: the console script and `python -m reconciler.cli`."""

import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

_INTERRUPTED: Final = 130
_STDERR: Final = 2


def main() -> NoReturn:
    """Run the command line, and end the process.

    Ctrl-C is one line and 130 at any moment, also while modules are imported. Once there is an exit code it changes
    nothing.
    """
    try:
        from reconciler.cli.main import main as run

        code = run()
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        with suppress(OSError):
            os.write(_STDERR, b"interrupted\n")
        code = _INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
