"""What the pages below docs/ show works as it is shown."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler.cli.main import VERBS, cli
from reconciler.engine.server.daemon import stop_engine
from reconciler.spec import load_spec

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {get-release: {command: [sh, -c, exit 3]}}}}\n"


def block(page: str, language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return next(one for one in blocks if containing in one)


def test_the_spec_by_example_is_valid() -> None:
    spec = load_spec(block("reference/spec.md", "yaml", "on-demand"), file="spec.md", environment={})
    assert [pool.name for pool in spec.pools] == ["get-release", "web"]


def test_the_library_example_runs_and_a_failed_run_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    program = block("how-to/library.md", "python", "import reconciler")
    assert len(program.strip().splitlines()) <= 10
    environment = {"RECONCILER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "RECONCILER_TARGET": "local"}
    try:
        planned = subprocess.run(
            [sys.executable, "-m", "reconciler.cli", "plan"],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
    finally:
        stop_engine(tmp_path / "home")
    assert (ended.returncode, ended.stderr) == (0, "")
    plan, *rest = ended.stdout.splitlines()
    sha256, count = plan.split()
    assert f"Plan hash: {sha256}" in planned.stdout
    assert (count, *rest) == ("1", "True", "False failed 3")


def test_the_example_from_your_own_code_runs_without_the_yaml(tmp_path: Path) -> None:
    task = "{command: [sh, -c, 'echo $0; exit 3'], args: [x], overrides: {args: true}}"
    spec = f"version: 1\nname: s\napps: {{on-demand: {{image: i, tasks: {{get-release: {task}}}}}}}\n"
    (tmp_path / "machines.yaml").write_text(spec)
    environment = {"RECONCILER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "RECONCILER_TARGET": "local"}
    try:
        apply = [sys.executable, "-m", "reconciler.cli", "apply", "--yes"]
        subprocess.run(apply, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
        program = [sys.executable, "-c", block("how-to/tasks-from-python.md", "python", "tasks.invoke")]
        (tmp_path / "machines.yaml").unlink()
        ended = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    finally:
        stop_engine(tmp_path / "home")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "cli/cli\nFalse failed 3\n", "")


def test_every_verb_is_in_the_reference_with_options_that_it_has() -> None:
    lines = (DOCS / "reference/commands.md").read_text().splitlines()
    for verb in VERBS:
        row = next((line for line in lines if line.startswith(f"| `reconciler {verb}")), None)
        assert row, verb
        words = ["engine", "run"] if verb == "engine" else [verb]
        shown = CliRunner().invoke(cli, [*words, "--help"], terminal_width=200).output
        for option in re.findall(r"`(--?[a-z-]+)", row):
            assert option in shown, (verb, option)
