"""--only, --exclude and --region on the command line and in the library, and names that are not there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.operations.saved_plans import read_plan
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.schemas import SCHEMAS, strict
from tests.support.world import app_text

SPEC = app_text("""
    tasks:
      work: {command: [exit, '0'], count: {iad: 1, ams: 1}}
      other: {command: [exit, '0'], count: {ams: 1}}
    services:
      web: {command: [run, '99999'], rollout: {min_healthy: 0s}}
""")
ALL = {"work-iad-0", "work-ams-0", "other-ams-0", "web-iad-0"}
SELECTIONS = {
    "--only work": {"work-iad-0", "work-ams-0"},
    "--exclude web": ALL - {"web-iad-0"},
    "--exclude web --exclude other": {"work-iad-0", "work-ams-0"},
    "--region ams": {"work-ams-0", "other-ams-0"},
    "--region ams --region iad": ALL,
    "--region ams --exclude other": {"work-ams-0"},
    "--only work --region iad": {"work-iad-0"},
}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    (tmp_path / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        yield CommandLine(engine, engine.transport, tmp_path)


def shown(line: CommandLine, *words: str, **options: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(line.run(*words, "--json", **options).out)
    is_report = words[0] in {"apply", "destroy"} and "--dry-run" not in words
    kind = "report" if is_report else "status" if words[0] == "status" else "plan"
    Draft202012Validator(strict(json.loads((SCHEMAS / f"{kind}.schema.json").read_text()))).validate(document)
    return document


def slots(document: dict[str, Any]) -> set[str]:
    return {one["slot"] for one in document["changes"]}


@pytest.mark.parametrize("words", SELECTIONS)
def test_each_verb_is_about_the_selected_part(line: CommandLine, words: str) -> None:
    flags, selected = words.split(), SELECTIONS[words]
    assert slots(shown(line, "plan", *flags)) == selected
    assert line.run("apply", "--yes", *flags).code == 0
    assert slots(shown(line, "plan")) == ALL - selected
    rows = {row["slot"]: row["state"] for row in shown(line, "status", *flags)["slots"]}
    assert rows.keys() == selected
    assert "missing" not in rows.values()
    assert line.run("apply", "--yes").code == 0
    assert shown(line, "drift", *flags)["has_changes"] is False
    report = shown(line, "destroy", "--yes", *flags)
    assert {entry["address"] for entry in report["entries"]} == {f"app/{name}" for name in selected}
    assert slots(shown(line, "plan")) == selected


def test_documents_name_the_selection(line: CommandLine, tmp_path: Path) -> None:
    flags = ["--exclude", "web", "--region", "ams"]
    named = {"only": [], "exclude": ["web"], "regions": ["ams"]}
    for verb in (["plan"], ["apply", "--yes"], ["drift"], ["status"], ["destroy", "--yes"]):
        assert shown(line, *verb, *flags)["selection"] == named
    assert shown(line, "plan")["selection"] == {"only": [], "exclude": [], "regions": []}
    shown_text = " ".join(line.run("plan", *flags).out.split())
    assert "a partial plan: without web, in ams; the rest was not compared" in shown_text
    assert line.run("plan", *flags, "--out", "saved").code == 0
    saved = read_plan(tmp_path / "saved")
    assert (saved.selection.exclude, saved.selection.regions) == (("web",), ("ams",))
    assert saved.plan.selection == saved.selection
    assert line.run("apply", "saved").code == 0
    assert slots(shown(line, "plan")) == {"work-iad-0", "web-iad-0"}
    for flag in (["--exclude", "web"], ["--region", "ams"]):
        ended = line.run("apply", "saved", *flag)
        assert (ended.code, "--exclude, --region" in ended.err) == (64, True)


def test_a_saved_plan_of_an_earlier_version_names_pools_alone(line: CommandLine, tmp_path: Path) -> None:
    assert line.run("plan", "--only", "work", "--out", "saved").code == 0
    document = json.loads((tmp_path / "saved").read_text())
    del document["selection"], document["saved"]["exclude"], document["saved"]["regions"]
    (tmp_path / "saved").write_text(json.dumps(document))
    assert read_plan(tmp_path / "saved").selection.only == ("work",)
    assert line.run("apply", "saved").code == 0
    assert slots(shown(line, "plan")) == {"other-ams-0", "web-iad-0"}


@pytest.mark.parametrize("verb", ["plan", "apply --yes", "drift", "destroy --yes", "status"])
@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--exclude wrk", ["has no pool 'wrk'", "did you mean 'work'?", "its pools: other, web, work"]),
        ("--only wbe", ["has no pool 'wbe'", "did you mean 'web'?"]),
        ("--only web --exclude web", ["the pool 'web' is named by both --only and --exclude"]),
        ("--region amz", ["has no region 'amz'", "it is no region that this version knows", "did you mean 'ams'?"]),
        ("--region fra", ["has no region 'fra', and no machine of the stack is there", "regions: ams, iad"]),
    ],
)
def test_what_is_not_there_is_an_error_with_the_nearest(
    line: CommandLine, verb: str, flags: str, told: list[str]
) -> None:
    ended = line.run(*verb.split(), *flags.split())
    assert ended.code == 1
    assert all(one in ended.err for one in told), ended.err
    assert slots(shown(line, "plan")) == ALL


def test_the_platforms_variables_do_not_narrow_a_plan(line: CommandLine) -> None:
    there = {"FLY_REGION": "ams", "FLY_APP": "nosuch", "FLY_APP_NAME": "nosuch", "FLY_ORG": "nosuch"}
    for verb in (["plan"], ["apply", "--dry-run"]):
        document = shown(line, *verb, environment=there)
        assert slots(document) == ALL
    assert line.run("apply", "--yes", environment=there).code == 0
    assert not slots(shown(line, "plan"))
    assert line.run("destroy", "--yes", environment=there).code == 0
    assert slots(shown(line, "plan")) == ALL


def test_diff_selects_too(line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text(SPEC.replace("exit, '0'", "exit, '1'"))
    assert slots(shown(line, "diff", "machines.yaml", "new.yaml", "--region", "ams", "--exclude", "other")) == {
        "work-ams-0"
    }
