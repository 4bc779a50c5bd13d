"""Start the command's process: the console script and `python -m reconciler.cli`.

What it imports before it knows what to do is counted: `--help` should take hardly longer than Python itself.
"""

import os
import sys

TYPE_CHECKING = False  # as typing has it, which takes a while to import
if TYPE_CHECKING:
    from typing import NoReturn

# Objects between two collections. A command makes many that it keeps, hardly a cycle, and ends soon: by default the
# search for garbage takes a tenth of the time of a plan. Most commands make fewer, so none is made while modules load.
FEW_COLLECTIONS = 200_000
_INTERRUPTED = 130
_STDERR = 2


def main() -> "NoReturn":
    """Run the command line, and end the process.

    Ctrl-C is one line and 130 at any moment, also while modules are imported. Once there is an exit code it changes
    nothing.
    """
    try:
        known = _answer_known()
        code = known if isinstance(known, int) else _run(known)
        os._exit(code)  # all is written, and to free each object would take a tenth of the time
    except KeyboardInterrupt:
        from contextlib import suppress

        with suppress(OSError):
            os.write(_STDERR, b"interrupted\n")
        sys.exit(_INTERRUPTED)


def _answer_known() -> "int | Exception | None":
    """Do what is known without click, and return the exit code; None for all else.

    What has gone wrong is returned too: click's side shows it.
    """
    if asked := os.environ.get("_RECONCILER_COMPLETE"):
        from reconciler.cli.texts.words import print_words

        return print_words(asked)
    if sys.argv[1:] == ["engine", "start"]:
        from reconciler.cli.quick_start import start_quickly

        return start_quickly()
    from reconciler.cli.texts import print_known

    return print_known(sys.argv[1:])


def _run(failure: "Exception | None") -> int:
    import gc

    gc.set_threshold(FEW_COLLECTIONS)
    from reconciler.cli.later_parts import importing_later
    from reconciler.cli.lean_imports import FIRST_PACKAGES

    with importing_later(FIRST_PACKAGES):
        from reconciler.cli.main import main as run

    return run(failure)


if __name__ == "__main__":
    main()
