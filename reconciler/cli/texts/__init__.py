"""Print help, the version, and the scripts that complete words, without click.

Click takes longer to import than all the rest of such a command. So `python tools/texts.py` lets it make these texts
beforehand. Only a command line that is known to its last word is answered here, and help only where it has the width
that click would give it. Everything else is click's. This module imports nothing that Python has not loaded.
"""

import os
import sys

_WIDTHS = (80, 100)  # columns: of pipes and of most terminals; of every wide one, as `max_content_width` says
_NARROWEST = 52  # click makes no help narrower
_SHELLS = ("bash", "zsh", "fish")
_GROUPS: "tuple[list[str], ...]" = ([], ["engine"])
_USAGE_EXIT_CODE = 64  # as in cli.main


def print_known(arguments: list[str]) -> int | None:
    """Print the text that these arguments ask for, and return the exit code.

    Return None for what click is to answer: also a text that cannot be written, of which it says why.
    """
    if os.environ.get("RECONCILER_LOG"):  # which may be wrong
        return None
    is_usage = arguments in _GROUPS
    try:
        text = _help_of(arguments) if is_usage else _text_of(arguments)
        stream = sys.stderr if is_usage else sys.stdout
        if text and stream:  # it is None if it was closed before we were started
            stream.write(text)
            stream.flush()
    except (OSError, UnicodeError):
        return None
    return None if not text else _USAGE_EXIT_CODE if is_usage else 0


def _text_of(arguments: list[str]) -> str | None:
    match arguments:
        case ["--version"] | ["version"]:
            from reconciler.version import VERSION

            return f"reconciler {VERSION}\n"
        case ["completion", shell] if shell in _SHELLS:
            return read(f"completion.{shell}")
        case [*words, "--help" | "-h"] | ["help", *words]:
            return _help_of(words)
        case _:
            return None


def _help_of(words: list[str]) -> str | None:
    """Return the help of this verb; without words that of the whole command."""
    width = max(_NARROWEST, min(_columns(), max(_WIDTHS)))
    if width not in _WIDTHS or not all(word.isalpha() for word in words):
        return None
    heading = " ".join(("\n$ reconciler", *words, "--help\n"))
    _, _, found = read(f"help-{width}.txt").partition(heading)
    return found.partition("\n$ ")[0] or None


def _columns() -> int:
    """Return what `shutil.get_terminal_size` does, which click asks."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


def read(name: str) -> str:
    """Return the text of this file."""
    with open(f"{os.path.dirname(__file__)}/{name}", encoding="utf-8") as file:  # noqa: PTH120, PTH123
        return file.read()
