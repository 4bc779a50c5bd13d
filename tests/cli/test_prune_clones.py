"""`--prune-clones` by the command line: shown, allowed, approved, saved, and applied; the documents keep to schemas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.schemas import SCHEMAS, strict
from tests.support.world import app_text

SPEC = app_text("    tasks:\n      work: {command: [exit, '0'], count: 2}\n")


class Cloned(CommandLine):
    """A stack that was applied, and what clones its first machine by hand."""

    def __init__(self, engine: VirtualEngine, directory: Path) -> None:
        super().__init__(engine, engine.transport, directory)
        self._http = engine.client()
        assert self.run("apply", "--yes", "--no-revision").code == 0

    def names(self) -> list[str]:
        return sorted(machine["name"] for machine in self._http.get("/apps/app/machines").json())

    def clone(self, name: str) -> str:
        config = self._http.get("/apps/app/machines").json()[0]["config"]
        body = {"name": name, "config": config, "skip_launch": True}
        return str(self._http.post("/apps/app/machines", json=body).raise_for_status().json()["id"])

    def document(self, *words: str, kind: str = "plan") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run(*words, "--json").out)
        Draft202012Validator(strict(json.loads((SCHEMAS / f"{kind}.schema.json").read_text()))).validate(document)
        return document


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Cloned]:
    (tmp_path / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        yield Cloned(engine, tmp_path)


def test_it_is_shown_applied_and_nothing_is_left(line: Cloned) -> None:
    one = line.clone("mine")
    shown = line.run("plan", "--no-revision")
    assert "! foreign app: mine" in shown.out
    assert "No changes" in shown.out
    shown = line.run("plan", "--no-revision", "--prune-clones", "--detailed-exitcode")
    assert f"- destroy app: mine [{one}]  (a clone of work-iad-" in shown.out
    assert shown.code == 2
    assert line.run("apply", "--dry-run", "--no-revision", "--prune-clones").out == shown.out
    [change] = line.document("plan", "--prune-clones")["changes"]
    assert (change["clone"], change["machine"], change["reason_code"]) == ("mine", one, "clone")
    report = line.document("apply", "--yes", "--no-revision", "--prune-clones", kind="report")
    assert [entry["address"] for entry in report["entries"]] == [change["address"]]
    assert line.names() == ["work-iad-0", "work-iad-1"]
    assert line.run("apply", "--yes", "--no-revision", "--prune-clones").code == 0


def test_a_saved_plan_brings_it_and_nothing_else_does(line: Cloned, tmp_path: Path) -> None:
    line.clone("mine")
    assert line.run("plan", "--no-revision", "--prune-clones", "--out", "saved").code == 0
    saved = json.loads((tmp_path / "saved").read_text())
    Draft202012Validator(strict(json.loads((SCHEMAS / "plan.schema.json").read_text()))).validate(saved)
    assert saved["saved"]["prune_clones"] is True
    assert line.run("show", "saved").code == 0
    assert line.run("apply", "saved", "--prune-clones").code == 64
    line.clone("later")
    refused = line.run("apply", "saved", "--no-revision")
    assert (refused.code, "which was not approved" in refused.err) == (1, True)
    assert "later" in line.names()
    assert line.run("apply", "--yes", "--no-revision").code == 0
    assert len(line.names()) == 4


def test_a_plan_that_was_saved_before_there_was_the_flag_destroys_no_clone(line: Cloned, tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC.replace("count: 2", "count: 3"))
    line.clone("mine")
    line.run("plan", "--no-revision", "--out", "saved")
    saved = json.loads((tmp_path / "saved").read_text())
    del saved["saved"]["prune_clones"]
    (tmp_path / "saved").write_text(json.dumps(saved))
    assert line.run("apply", "saved", "--no-revision").code == 0
    assert line.names() == ["mine", "work-iad-0", "work-iad-1", "work-iad-2"]


def test_the_hash_is_that_of_the_plan_with_the_flag(line: Cloned) -> None:
    line.clone("mine")
    found = line.document("plan", "--prune-clones")["plan_sha256"]
    assert line.run("apply", "--no-revision", "--expect-plan", found, "--prune-clones").code == 0
    assert line.names() == ["work-iad-0", "work-iad-1"]


def test_what_is_no_drift_is_told_and_left(line: Cloned) -> None:
    line.clone("mine")
    ended = line.run("apply", "--yes", "--no-revision", "--only-drift", "--prune-clones")
    assert ended.code == 0
    assert "(destroy)" in ended.out + ended.err
    assert "mine" in line.names()
