"""What each verb imports, as a table: it decides how fast the verb starts. A word more in a line needs a reason.

Each verb goes all the way on the local target, so that what it imports late counts too.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import reconciler
from reconciler.cli.lean_imports import PACKAGES
from reconciler.cli.main import VERBS

pytestmark = pytest.mark.slow

PROGRAM = """
import dataclasses, json, sys
made, process = [], dataclasses._process_class
def counted(cls, *arguments, **options):
    made.append(f"{cls.__module__}.{cls.__qualname__}")
    return process(cls, *arguments, **options)
dataclasses._process_class = counted
from reconciler.cli.main import run
said, sys.stdout = sys.stdout, sys.stderr
code = run(sys.argv[1:])
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
said.write(json.dumps({"code": code, "files": files, "dataclasses": made}))
"""
SPEC = """
version: 1
name: s
apps:
  a:
    image: i
    tasks:
      t: {command: ["true"]}
      slow: {command: [sleep, "1000"]}
"""
THEIRS = "version: 1\nname: theirs\napps: {theirs: {image: i, tasks: {t: {command: ['true']}}}}\n"
RUN = "RUN"  # stands for a run that goes on

# Of Python's own the ones that take longest.
SLOW_STANDARD = frozenset({"asyncio", "ssl", "secrets", "http.client", "sqlite3"})
# What a call over HTTP needs; `click` and `msgspec` are in every line besides.
CALL = "httpx httpcore h11"
TALK = f"{CALL} asyncio yaml | canonical engine machines_api slots spec"

PARTS_LEFT_OUT = {part for package in PACKAGES.values() for part in package.parts}
# The lines that use one of them.
PARTS_NEEDED = {
    "doctor": "email.message urllib.request",
    "engine status": "httpcore._api httpcore._backends.sync httpcore._ssl httpcore._sync ssl",
}


class Row(NamedTuple):
    """A command line, and `what is from outside or slow | which packages of ours`, beside those that every verb
    has: `cli`, `model` and `operations`.
    """

    arguments: str
    imports: str

    @property
    def outside(self) -> set[str]:
        return {"click", "msgspec", *self.imports.partition("|")[0].split()}

    @property
    def ours(self) -> set[str]:
        return {*self.imports.partition("|")[2].split()}


# In an order that works: the later ones need what the earlier ones made.
TABLE = (
    Row("--help", "|"),
    *(Row(f"{verb} --help", "|") for verb in VERBS),
    Row("init -f first.yaml", "yaml | canonical drafts render spec"),
    Row("validate", "yaml | canonical spec render"),
    Row("help plan", "|"),
    Row("schema event", "|"),
    Row("completion fish", "|"),
    Row("version", "| render"),
    Row("version -v", "| canonical render"),
    Row("plan --out saved", f"{TALK} planner render"),
    Row("show saved", "| canonical render"),
    Row("diff machines.yaml machines.yaml", "yaml | canonical planner render slots spec"),
    Row("apply --yes", f"{TALK} apply planner render"),
    Row("plan", f"{TALK} planner render"),
    Row("drift", f"{TALK} planner render"),
    Row("invoke t", f"{TALK} invoke"),
    Row("invoke slow --no-wait", f"{TALK} invoke render"),
    Row("status", f"{TALK} invoke planner render"),
    Row("runs", f"{TALK} invoke render"),
    Row(f"logs {RUN}", f"{TALK} invoke"),
    Row(f"cancel {RUN}", f"{TALK} invoke render"),
    Row(f"wait {RUN}", f"{TALK} invoke render"),
    Row("doctor", f"{TALK} images planner render"),
    Row("unlock", f"{TALK} render"),
    Row("engine status", f"{CALL} certifi ssl | engine render"),
    Row("engine env", "| engine"),
    Row("import theirs", f"{TALK} drafts planner render slots"),
    Row("release --dry-run", f"{TALK} apply planner render"),
    Row("destroy --yes", f"{TALK} apply planner render"),
)

# Modules of ours that a command has no use for: by the words of its line in the table.
_OF_AN_APPLY = "model.apply_event model.report"
LEFT_OUT = {
    "validate": "cli.ui.annotations model.machine operations.session render.diagnostics spec.near_names "
    "spec.shape_errors targets",
    "plan": f"{_OF_AN_APPLY} canonical.lowerings machines_api.endpoints machines_api.leases machines_api.logs "
    "model.approval model.lowering operations.consent operations.saved_plans render.change_lines render.changes "
    "render.lowerings render.pools render.words",
    "apply --yes": "render.json render.markdown render.terraform",
    "invoke t": f"{_OF_AN_APPLY} canonical.digest invoke.attach invoke.idempotency invoke.key_marks invoke.key_room "
    "invoke.reconfigure invoke.runs machines_api.endpoints model.change model.desired model.plan planner.desired "
    "slots.override slots.update",
    "status": f"{_OF_AN_APPLY} cli.ui.errors cli.ui.side_files machines_api.endpoints machines_api.leases "
    "machines_api.logs render.report",
    "runs": f"{_OF_AN_APPLY} canonical.digest cli.ui.errors invoke.attach invoke.follow invoke.logs "
    "machines_api.endpoints machines_api.leases machines_api.logs model.change model.plan operations.named_runs "
    "slots.lease slots.update",
}


class Commands:
    """Runs commands as processes of their own, in a directory and a home of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "machines.yaml").write_text(SPEC)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("FLY_", "RECONCILER_", "GITHUB_"))
        } | {"RECONCILER_HOME": str(directory / "home"), "RECONCILER_TARGET": "local", "HOME": str(directory)}

    def run(self, program: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def going_on(self) -> str:
        """The run that `invoke slow` has started."""
        listed = self.run(("-m", "reconciler.cli"), "runs", "slow", "-o", "json")
        return str(json.loads(listed.stdout)["runs"][0]["run"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What each line of the table has left: the files of its modules, and the dataclasses that it made."""
    commands = Commands(tmp_path_factory.mktemp("imports"))
    (commands.directory / "theirs.yaml").write_text(THEIRS)
    found = {}
    try:
        for verb in ("apply", "release"):
            commands.run(("-m", "reconciler.cli"), "-f", "theirs.yaml", verb, "--yes")
        for row in TABLE:
            words = [commands.going_on() if word == RUN else word for word in row.arguments.split()]
            ended = commands.run(("-c", PROGRAM), *words)
            assert ended.stdout.startswith("{"), ended.stderr
            result = json.loads(ended.stdout)
            assert result["code"] == (130 if row.arguments.startswith("wait RUN") else 0), (row, ended.stderr)
            found[row.arguments] = result
        yield found
    finally:
        commands.run(("-m", "reconciler.cli"), "engine", "stop")


@pytest.fixture(scope="module")
def imported(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    """The files of all modules that each line of the table has loaded, by module."""
    return {arguments: result["files"] for arguments, result in results.items()}


@pytest.mark.parametrize("row", TABLE, ids=[row.arguments for row in TABLE])
def test_a_verb_imports_what_its_line_says(imported: dict[str, dict[str, str]], row: Row) -> None:
    files = imported[row.arguments]
    outside = {name.partition(".")[0] for name, file in files.items() if "site-packages" in file}
    outside -= {
        "_distutils_hack",
        "typing_extensions",
        "sniffio",
    }  # of the environment, of older Pythons, if it is there
    ours = {name.split(".")[1] for name in files if name.count(".") > 1 and name.startswith("reconciler.")}
    assert outside | (SLOW_STANDARD & files.keys()) == row.outside
    assert ours - {"cli", "model", "operations"} == row.ours


@pytest.mark.parametrize("command", LEFT_OUT)
def test_a_command_imports_nothing_that_it_has_no_use_for(imported: dict[str, dict[str, str]], command: str) -> None:
    files = imported[command]
    for module in LEFT_OUT[command].split():
        assert find_spec(f"reconciler.{module}"), module  # so a module that is renamed is renamed here
        assert f"reconciler.{module}" not in files


def test_no_class_of_ours_is_a_dataclass(results: dict[str, dict[str, Any]]) -> None:
    """Each would cost a millisecond: docs/decisions/0012-values-are-structs.md."""
    made = {one for result in results.values() for one in result["dataclasses"]}
    assert made  # by what we import: so the count counts
    assert {one for one in made if one.startswith("reconciler.")} == set()


def test_validate_imports_of_python_nothing_slow_that_a_valid_spec_needs_not(
    imported: dict[str, dict[str, str]],
) -> None:
    for module in ("difflib", "getpass", "hashlib", "heapq", "html", "shlex", "signal", "socket"):
        assert find_spec(module), module
        assert module not in imported["validate"]


def test_every_verb_that_talks_is_in_the_table() -> None:
    tried = {row.arguments.partition(" ")[0] for row in TABLE if "--help" not in row.arguments}
    assert VERBS.keys() - tried == {"build"}  # which needs a builder: its tests are elsewhere


def test_the_command_line_of_httpx_is_not_imported(imported: dict[str, dict[str, str]]) -> None:
    assert not any("httpx._main" in files for files in imported.values())


@pytest.mark.parametrize("row", TABLE, ids=[row.arguments for row in TABLE])
def test_a_verb_needs_no_part_that_is_left_out(imported: dict[str, dict[str, str]], row: Row) -> None:
    assert PARTS_LEFT_OUT & imported[row.arguments].keys() <= {*PARTS_NEEDED.get(row.arguments, "").split()}


def test_the_library_changes_nothing_of_httpx() -> None:
    program = """
import reconciler.tasks, reconciler.machines_api.client, reconciler.operations.apply
import httpx
import httpx._main
assert httpx.main is httpx._main.main
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_after_the_command_in_the_same_process_the_command_of_httpx_works() -> None:
    program = """
import sys
from reconciler.cli.main import run
assert run(["--target", "http://127.0.0.1:9", "-f", "none.yaml", "status"]) == 1
import httpx
sys.argv = ["httpx", "--help"]
httpx.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert "httpx" in ended.stdout


def test_help_imports_no_operation(imported: dict[str, dict[str, str]]) -> None:
    assert not any(name.startswith("reconciler.operations") for name in imported["--help"])


# Patterns of ours that are compiled at import: every command with a spec uses them, or import and init alone do.
_COMPILED = frozenset({"dockerignore.py", "machines_api/values.py", "machines_api/errors.py", "render/json.py"})
_COMPILED_IN = ("drafts/", "engine/", "spec/", "operations/import_app.py", "operations/origins.py")


def test_a_pattern_that_few_need_is_compiled_when_it_is_used() -> None:
    package = Path(reconciler.__file__).parent
    found = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for statement in ast.parse(file.read_text()).body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and "re.compile(" in ast.unparse(statement)
    }
    assert {file for file in found if not file.startswith(_COMPILED_IN)} == _COMPILED
