"""Start the command's process: the console script and `python -m reconciler.cli`.

What it imports before it knows what to do is counted: `--help` should take hardly longer than Python itself.
"""

import os
import sys

TYPE_CHECKING = False  # as typing has it, which takes a while to import
if TYPE_CHECKING:
    from typing import NoReturn

_INTERRUPTED = 130
_STDERR = 2


def main() -> "NoReturn":
    """Run the command line, and end the process.

    Ctrl-C is one line and 130 at any moment, also while modules are imported. Once there is an exit code it changes
    nothing.
    """
    try:
        if not os.environ.get("_RECONCILER_COMPLETE"):
            from reconciler.cli.texts import print_known

            known = print_known(sys.argv[1:])
            if known is not None:
                os._exit(known)  # all is written
        from reconciler.cli.main import main as run

        code = run()
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        from contextlib import suppress

        with suppress(OSError):
            os.write(_STDERR, b"interrupted\n")
        code = _INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
