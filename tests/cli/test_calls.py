"""How many calls each command makes: the table of commands in docs/explanation/performance.md.

The order of the calls of each action is a table of its own, and a test of its own: tests/scenarios/apply/test_calls.py.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import VERBS
from reconciler.testing.virtual import VirtualEngine
from tests.support.calls import spelled
from tests.support.command_line import CommandLine

DOCS = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
APPS = 3
MEMBERS = """
  app-{0}:
    image: i:1
    tasks:
      work-{0}: {{command: [exit, '0'], count: 3}}
      long-{0}: {{command: [run, '100000']}}
"""
SPEC = "version: 1\nname: stack\napps:" + "".join(MEMBERS.format(number) for number in range(APPS))
RUN = "RUN"  # stands for the newest run of long-0

# In an order that works: the later ones need what the earlier ones made.
COMMANDS = (
    "validate",
    "apply --yes",
    "plan",
    "plan --app app-1",
    "plan --out saved.json",
    "show saved.json",
    "apply saved.json",
    "drift",
    "release --dry-run",
    "status",
    "unlock",
    "doctor",
    "invoke work-0 --no-logs",
    "invoke long-0 --no-wait",
    "runs",
    "runs work-0",
    "cancel RUN",
    "wait RUN",
    "logs RUN",
    "destroy --yes",
)
# Of the stack's machines they ask nothing, or have tests of their calls of their own: what they do depends on more.
ELSEWHERE = {"build", "completion", "diff", "engine", "help", "import", "init", "schema", "version"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The calls of each command, as the documentation writes them."""
    directory = tmp_path_factory.mktemp("calls")
    (directory / "machines.yaml").write_text(SPEC)
    found = {}
    with VirtualEngine() as engine:
        command_line = CommandLine(engine, engine.transport, directory)

        def newest_run() -> str:
            listed = command_line.run("runs", "long-0", "-o", "json")
            return str(json.loads(listed.out)["runs"][0]["run"])

        for command in COMMANDS:
            words = [newest_run() if word == RUN else word for word in command.split()]
            engine.run(engine.clock.sleep(120))  # what was created has settled
            engine.requests.clear()
            ended = command_line.run(*words)
            assert ended.code == (130 if command == "wait RUN" else 0), (command, ended)
            found[command] = counted(engine.requests)
        yield found


def counted(requests: list[str]) -> str:
    """Calls by name, in the order of the first of each: `3 LIST, ROOM`."""
    counts = Counter(map(spelled, requests))
    return ", ".join(f"{count} {name}" if count > 1 else name for name, count in counts.items()) or "none"


def documented() -> dict[str, str]:
    """The table's rows: a command, and its calls."""
    section = DOCS.read_text().partition("## Calls")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`|]+)` \| ([^|]+?) \|$", section, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_makes_the_calls_that_the_documentation_says(made: dict[str, str], command: str) -> None:
    assert documented().get(command) == made[command]


def test_the_documentation_has_no_other_commands_and_every_verb_is_in_it_or_elsewhere() -> None:
    assert documented().keys() == {*COMMANDS}
    assert {command.partition(" ")[0] for command in COMMANDS} == VERBS.keys() - ELSEWHERE
