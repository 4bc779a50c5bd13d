"""The pages of docs/reference say what the schemas, the code and the public interface say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import reconciler
from reconciler.cli.main import VERBS, cli
from reconciler.invoke import outcome
from tools.reference import generated, written

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
OWNERS = "RECONCILER|FLY|DOCKER|DOCKERHUB|CI|GH|GITHUB|GITLAB|BUILDKITE|CIRCLE|XDG|REGISTRY|CONTAINER"
VARIABLE = re.compile(rf"(?:{OWNERS})_[A-Z0-9_]*[A-Z0-9]|CI|NO_COLOR|FORCE_COLOR|PORT|PRIMARY_REGION|TMPDIR")
NO_VARIABLES = {"FLY_REGISTRY", "FLY_LOGS_URL"}


@pytest.mark.parametrize("page", generated(), ids=lambda page: page.name)
def test_a_generated_page_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert written(text, generated()[page]) == text, "run: python tools/reference.py"


def test_a_page_without_a_place_for_its_part_is_refused() -> None:
    with pytest.raises(ValueError, match="begin: fields"):
        written("no place", {"fields": "x"})


def test_each_public_name_is_in_the_api() -> None:
    named = re.findall(r"^::: reconciler\.(\w+)$", (PAGES / "api.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(set(reconciler.__all__) - {"__version__"})


def test_the_codes_of_each_verb_and_of_runs_are_told() -> None:
    page = (PAGES / "exit-codes.md").read_text()
    told = {
        verb.split()[0]
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for verb in re.findall(r"`(.*?)`", row)
    }
    assert set(VERBS) - told == {"invoke", "wait"}, "docs/reference/exit-codes.md says how they end"
    ours = {code for name, code in vars(outcome).items() if name.endswith("_CODE")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == ours - {255}


def options_of(command: click.Command | None) -> set[str]:
    """Return the long options of a verb, and of those below it; of one with several names the first."""
    assert command is not None
    found = {
        next(name for name in option.opts if name.startswith("--"))
        for option in command.params
        if isinstance(option, click.Option) and any(name.startswith("--") for name in option.opts)
    }
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return found.union(*map(options_of, below))


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_of_a_verb_is_told(verb: str) -> None:
    table, _, rest = (PAGES / "commands.md").read_text().partition("\n## ")
    rows = re.findall(rf"^\| `reconciler {verb}\b.*", table, re.MULTILINE)
    told = set(re.findall(r"--[a-z][a-z-]*", " ".join([*rows, rest])))
    short = {"--file", "--app", "--output", "--env"}  # are told by their short names
    assert rows
    assert options_of(cli.get_command(click.Context(cli), verb)) - told - short == set(), "docs/reference/commands.md"


def variables_of_the_code() -> Iterator[str]:
    """Yield the names of variables that stand in the code as text of their own, alone or in a list of words."""
    for path in (ROOT / "reconciler").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from (word for word in node.value.split() if re.fullmatch(r"[A-Z0-9_\s]+", node.value))


def test_each_variable_of_the_code_is_in_the_tables_and_no_other() -> None:
    code = {name for name in variables_of_the_code() if VARIABLE.fullmatch(name)} - NO_VARIABLES
    page = (PAGES / "environment-variables.md").read_text().partition("\n## ")[2]
    named = {name for name in re.findall(r"`\$?\{?([A-Z_0-9]+)[^`]*`", page) if VARIABLE.fullmatch(name)}
    assert code - named == set(), "docs/reference/environment-variables.md says what they are"
    assert named - code == set(), "nothing in the code has these names"
