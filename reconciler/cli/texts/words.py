"""Complete a verb or the name of an option without click, when a shell asks.

`python tools/texts.py` lets click list them beforehand. The values of options and arguments are found by click.
"""

import os
import sys

from reconciler.cli.texts import read

_QUOTES = "'\"\\"


def print_words(instruction: str) -> int | None:
    """Print what completes the line in the environment, and return the exit code.

    Return None for what click is to answer.
    """
    shell, _, task = instruction.partition("_")
    asked = _asked(shell) if task == "complete" else None
    offered = _offered(*asked) if asked else None
    if offered is None or sys.stdout is None:
        return None
    lines = (_line(shell, *word.split("\t")) for word in offered)
    try:
        sys.stdout.buffer.write(("\n".join(lines) + "\n").encode())
        sys.stdout.flush()
    except OSError:
        return None
    return 0


def _asked(shell: str) -> tuple[list[str], str] | None:
    """Return the words before the one to complete, and what is there of that one.

    None for a line that is not read here.
    """
    line, at = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
    words = line.split()
    is_plain = (line + at).isascii() and (line + at).isprintable() and not any(one in line for one in _QUOTES)
    if not (words and is_plain):
        return None
    if shell == "fish":  # tells the word itself
        before = words[1:-1] if at and words[-1] == at else words[1:]
        return (before, at) if at.split() in ([], [at]) else None
    if shell not in {"bash", "zsh"} or not at.isdigit():
        return None
    place = int(at)
    return words[1:place], words[place] if place < len(words) else ""


def _offered(before: list[str], begun: str) -> list[str] | None:
    """Return the words that begin so, with their help; None if they are not listed."""
    if not all(word.isalpha() for word in before) or "=" in begun:
        return None
    heading = " ".join(("\n$ reconciler", *before)) + "\n"
    _, _, found = read("words.txt").partition(heading)
    listed = found.partition("\n\n")[0].splitlines()
    is_option = begun.startswith("-")
    if not listed or not (is_option or any(not word.startswith("-") for word in listed)):
        return None
    return [word for word in listed if word.startswith(begun) and word.startswith("-") is is_option]


def _line(shell: str, word: str, text: str = "") -> str:
    """Return a word as the script of the shell expects it, which click wrote."""
    if shell == "zsh":
        return f"plain\n{word}\n{text or '_'}"
    return f"plain,{word}\t{text}" if shell == "fish" and text else f"plain,{word}"
