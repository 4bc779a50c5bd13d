"""The list of commands in docs/reference has every verb, with options that it has."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from reconciler.cli.main import VERBS, cli

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def command_lines(verb: str) -> list[list[str]]:
    """Return the words of the verb, or of each command below it."""
    command = cli.get_command(click.Context(cli), verb)
    below = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
    return [[verb, name] for name in below] or [[verb]]


def test_every_verb_is_in_the_reference_with_options_that_it_has() -> None:
    lines = PAGE.read_text().splitlines()
    for verb in VERBS:
        row = next((line for line in lines if line.startswith(f"| `reconciler {verb}")), None)
        assert row, verb
        shown = "".join(
            CliRunner().invoke(cli, [*words, "--help"], terminal_width=200).output for words in command_lines(verb)
        )
        for option in re.findall(r"`(--?[a-z-]+)", row):
            assert option in shown, (verb, option)
