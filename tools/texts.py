"""Write what the command prints without click: reconciler/cli/texts, and the version in reconciler/version.py.

    python tools/texts.py

Click makes the texts; the version is that of pyproject.toml.
"""

import io
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

import click
import click.shell_completion

from reconciler.cli.main import cli, run

ROOT: Final = Path(__file__).parent.parent
TEXTS: Final = ROOT / "reconciler" / "cli" / "texts"
WIDTHS: Final = (80, 100)
SHELLS: Final = ("bash", "zsh", "fish")


def generated() -> dict[Path, str]:
    """Return, by path, each generated file."""
    helps = {TEXTS / f"help-{width}.txt": _helps(width) for width in WIDTHS}
    scripts = {TEXTS / f"completion.{shell}": said("completion", shell) for shell in SHELLS}
    words = {TEXTS / "words.txt": _words()}
    return helps | scripts | words | {ROOT / "reconciler" / "version.py": _version()}


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command: of none, of each verb, of each one below a verb."""
    yield from _commands(cli, ())


def _commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from _commands(found, (*words, name))


def said(*arguments: str, columns: int = 80) -> str:
    """Return what click makes the command print in so wide a terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        with redirect_stdout(io.StringIO()) as out:
            assert run([*arguments]) == 0
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def _helps(width: int) -> str:
    """Return a session that asks for the help of each command."""
    parts = [f"The help of each command, {width} columns wide. Written by: python tools/texts.py\n"]
    for words in commands():
        text = said(*words, "--help", columns=width)
        assert "\n$ " not in text
        parts.append(f"$ {' '.join(('reconciler', *words, '--help'))}\n{text}")
    return "\n".join(parts)


def _words() -> str:
    """Return a session in which each command is followed by what completes it."""
    parts = ["The verbs and options of each command. Written by: python tools/texts.py\n"]
    for words in commands():
        shell = click.shell_completion.BashComplete(cli, {}, "reconciler", "")
        begun = [shell.get_completions([*words], one) for one in ("", "-")]
        is_group = any(one[:-1] == words for one in commands() if one)
        listed = [*(begun[0] if is_group else ()), *begun[1]]
        assert not any("\t" in f"{one.help}" or "\n" in f"{one.help}" for one in listed)
        lines = (f"{one.value}\t{one.help}" if one.help else one.value for one in listed)
        parts.append("\n".join((f"$ {' '.join(('reconciler', *words))}", *lines, "")))
    return "\n".join(parts)


def _version() -> str:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    written, count = re.subn(
        '(?m)^VERSION = ".*"$', f'VERSION = "{version}"', (ROOT / "reconciler" / "version.py").read_text("utf-8")
    )
    assert count == 1
    return written


def main() -> None:
    """Write the files."""
    for path, text in generated().items():
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
