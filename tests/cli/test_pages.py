"""The list of commands in docs/reference has every verb, with options that it has."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.main import VERBS, cli

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_every_verb_is_in_the_reference_with_options_that_it_has() -> None:
    lines = PAGE.read_text().splitlines()
    for verb in VERBS:
        row = next((line for line in lines if line.startswith(f"| `reconciler {verb}")), None)
        assert row, verb
        words = ["engine", "run"] if verb == "engine" else [verb]
        shown = CliRunner().invoke(cli, [*words, "--help"], terminal_width=200).output
        for option in re.findall(r"`(--?[a-z-]+)", row):
            assert option in shown, (verb, option)
