"""An upgrade changes nothing: what earlier commits wrote is held against today's code. README.md says what it is."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from reconciler.canonical.digest import digest_of
from reconciler.cli.main import run
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from reconciler.errors import SpecError
from reconciler.machines_api.wire import machines_from_json
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.planner.hashes import early_plan_sha256, spec_sha256
from reconciler.planner.planner import plan as make_plan
from reconciler.spec import load_spec
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

LANDED = sorted(path for path in Path(__file__).parent.iterdir() if (path / "specs.jsonl").exists())
APPLIED = [folder for landed in LANDED for folder in sorted((landed / "applied").iterdir())]
HOMES = [landed / "home" for landed in LANDED]
# Words of specs that are refused by now, and why that is meant. Nothing that a user may have applied belongs here.
REFUSED = dict.fromkeys(
    ["auto_destroy: true", '"auto_destroy": true'],
    "a task's machines hold the ends of its runs and its keys: they are kept",
)
AT = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "landed-engine-token"


def name_of(path: Path) -> str:
    return f"{path.parents[1].name}-{path.name}" if path.parent.name == "applied" else path.parent.name


def loaded(text: str, environment: dict[str, str] | None = None) -> Spec:
    return load_spec(text, file="machines.yaml", environment=environment or {})


def written_by(spec: Spec) -> dict[str, Any]:
    """The digests that an apply of the spec writes, and those that its first plan is approved by.

    The hash has the IP addresses of new apps too, which later versions allocate: who approved a plan without them is
    asked again. So they are left out here.
    """
    nothing = Observed(apps={app.name: ObservedApp(name=app.name, exists=False) for app in spec.apps}, at=AT)
    return {
        "applied": {f"{pool.app}/{pool.name}": digest_of(pool.config) for pool in spec.pools},
        "plan_sha256": early_plan_sha256(replace(make_plan(spec, nothing), allocations=())),
        "spec_sha256": spec_sha256(spec),
    }


@pytest.mark.parametrize("landed", LANDED, ids=lambda path: path.name)
def test_digests_of_specs_and_plans_are_the_same_byte_for_byte(landed: Path) -> None:
    rows = [json.loads(line) for line in (landed / "specs.jsonl").read_text().splitlines()]
    differ = {}
    for row in rows:
        text, environment = row.pop("spec"), row.pop("environment", {})
        try:
            found = written_by(loaded(text, environment))
        except SpecError as error:
            if not any(words in text for words in REFUSED):
                differ[text] = str(error)
            continue
        if found != row:
            differ[text] = f"{row} is now {found}"
    assert len(rows) > 100
    assert differ == {}


@pytest.mark.parametrize("folder", APPLIED, ids=name_of)
def test_the_plan_of_what_was_applied_is_empty(folder: Path) -> None:
    lists, options = json.loads((folder / "lists.json").read_text()), folder / "options.json"
    asked = json.loads(options.read_text()) if options.exists() else {}
    if "revision" in asked:
        asked["revision"] = numbered(asked["revision"])
    apps = {
        name: ObservedApp(name=name, exists=True, machines=machines_from_json(name, machines))
        for name, machines in lists.items()
    }
    plan = make_plan(loaded((folder / "spec.yaml").read_text()), Observed(apps=apps, at=AT), **asked)
    assert [(change.address, change.reason) for change in plan.effective] == []
    assert (plan.has_changes, plan.blocked) == (False, ())
    assert len(plan.changes) + len(plan.foreign) == sum(len(machines) for machines in lists.values())


class Home:
    """A copy of a recorded home, its engine of today, and the command of today beside it."""

    def __init__(self, recorded: Path, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.told = json.loads((recorded / "told.json").read_text())
        self.file = directory / "plan.json"
        self.home = directory / "home"
        self.errors = ""
        self._capsys = capsys
        self.home.mkdir()
        (self.home / "token").write_text(TOKEN + "\n")
        with closing(sqlite3.connect(self.home / "engine.db")) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript((recorded / "engine.sql").read_text())
        shutil.copy(recorded / "plan.json", self.file)
        for spec in ("applied", "planned"):
            shutil.copy(recorded / f"{spec}.yaml", directory)
        self.url = start_engine(self.home).url

    def __call__(self, verb: str, spec: str, *arguments: str, code: int = 0) -> str:
        """What the command says on stdout, for the spec of this name, or where it fails on stderr."""
        ended = run([verb, "-C", str(self.directory), "-f", f"{spec}.yaml", *arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        self.errors = captured.err
        return captured.out if code == 0 else captured.err

    def machines(self) -> dict[str, dict[str, Any]]:
        """By name, what the engine tells of its machines; destroyed ones are left out."""
        headers = {"Authorization": f"Bearer {read_token(self.home)}"}
        answer = httpx.get(f"{self.url}/v1/apps/landed/machines", headers=headers, trust_env=False)
        return {machine["name"]: machine for machine in answer.json()}


@pytest.fixture(params=HOMES, ids=name_of)
def home(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Home]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    yield Home(request.param, tmp_path, capsys)
    stop_engine(tmp_path / "home")


def test_the_engine_opens_the_home_and_tells_its_machines_runs_and_logs(home: Home) -> None:
    found, recorded = home.machines(), home.told["machines"]
    live = {machine["name"]: machine for machine in recorded if machine["state"] != "destroyed"}
    assert found.keys() == live.keys()
    for name, machine in live.items():
        assert {key: found[name][key] for key in ("id", "instance_id", "region", "config", "created_at")} == {
            key: machine[key] for key in ("id", "instance_id", "region", "config", "created_at")
        }
    runs = {one["run"]: one for one in json.loads(home("runs", "applied", "-o", "json"))["runs"]}
    for expected in home.told["runs"]:
        logs = expected.pop("logs")
        assert expected.items() <= runs[expected["run"]].items()
        said = home("logs", "applied", expected["run"])
        assert [*said.splitlines(), *home.errors.splitlines()] == logs
        assert "exited 3" in home("wait", "applied", expected["run"], code=3)


def test_the_plan_of_the_homes_spec_is_empty_and_its_tasks_run(home: Home) -> None:
    assert "No changes" in home("plan", "applied", "--detailed-exitcode")
    assert "exited 3" in home("invoke", "applied", "report", code=3)
    # For two days after the record was made its destroyed machine is told too, with a run of another task.
    runs = [one["run"] for one in json.loads(home("runs", "applied", "report", "-o", "json"))["runs"]]
    told = {one["run"] for one in home.told["runs"] if one["task"] == "report"}
    assert told < set(runs)
    assert len(runs) == len(told) + 1
    assert "No changes" in home("plan", "applied", "--detailed-exitcode")


def test_a_saved_plan_is_shown_and_applied(home: Home) -> None:
    recorded = json.loads(home.file.read_text())
    shown = json.loads(home("show", "planned", str(home.file), "-o", "json"))
    assert shown["plan_sha256"] == recorded["plan_sha256"]
    assert [one["address"] for one in shown["changes"]] == [one["address"] for one in recorded["changes"]]
    assert "is not the spec that the plan was made from" in home("apply", "applied", str(home.file), code=1)
    home("apply", "planned", str(home.file))
    assert "report-iad-2" in home.machines()
    assert "No changes" in home("plan", "planned", "--detailed-exitcode")
    assert "Nothing left of this plan" in home("apply", "planned", str(home.file))


def test_a_hash_that_was_approved_is_applied(home: Home) -> None:
    approved = json.loads(home.file.read_text())["plan_sha256"]
    home("apply", "planned", "--expect-plan", approved, "--revision", "1")
    assert "report-iad-2" in home.machines()
    assert "No changes" in home("plan", "planned", "--detailed-exitcode")
