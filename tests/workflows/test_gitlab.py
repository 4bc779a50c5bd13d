"""The pipeline for GitLab: a merge request is planned; on the default branch the plan is saved, and applied by hand."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from reconciler.testing.live import LiveEngine
from tests.support.gitlab import Pipeline
from tests.support.team import SPEC
from tests.support.workflows import ROOT

pytestmark = pytest.mark.slow

Start = Callable[..., Pipeline]
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event"}
DEFAULT_BRANCH = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}


@pytest.fixture
def start(tmp_path: Path, live_engine: LiveEngine) -> Start:
    """Starts a pipeline of the checkout, with these variables beside GitLab's own."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "machines.yaml").write_text(SPEC)
    (checkout / "json.py").write_text("raise SystemExit('a module of the checkout was imported')\n")
    numbers = iter(range(100))

    def started(**variables: str) -> Pipeline:
        variables = {
            **live_engine.environment,
            "CI": "true",
            "CI_DEFAULT_BRANCH": "main",
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
            "RECONCILER_HOME": str(tmp_path / "home"),
            "RECONCILER_RESOLVE": "never",
            **variables,
        }
        path = ROOT / "examples" / "gitlab-ci" / "machines.gitlab-ci.yml"
        return Pipeline(path, checkout, tmp_path / f"pipeline-{next(numbers)}", variables)

    return started


def test_a_merge_request_is_planned_and_the_merge_applied_by_hand(start: Start, live_engine: LiveEngine) -> None:
    pipeline = start(**MERGE_REQUEST)
    assert pipeline.jobs == {"plan": "on_success"}
    assert pipeline.run("plan") == 0, pipeline.said
    assert json.loads(pipeline.artifact("counts.json")) == {"create": 3, "update": 0, "delete": 0}, "the app too"
    assert "canary" not in pipeline.artifact("plan.json") + pipeline.artifact("plan.html")

    pipeline = start(**DEFAULT_BRANCH)
    assert pipeline.jobs == {"plan": "on_success", "apply": "manual"}
    assert pipeline.run("plan") == 0
    reads = ("GET ", "POST /platform/placements")
    assert [one for one in live_engine.requests if not one.startswith(reads)] == []
    assert pipeline.run("apply") == 0
    assert "2 done" in pipeline.said
    assert len(live_engine.machines("app")) == 2


def test_other_pipelines_run_nothing(start: Start) -> None:
    assert start(CI_PIPELINE_SOURCE="push", CI_COMMIT_BRANCH="topic").jobs == {}


def test_its_first_line_installs_a_commit_without_tokens_and_without_what_lies_in_the_checkout(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "examples" / "gitlab-ci" / "machines.gitlab-ci.yml").read_text())
    (line,) = document[".reconciler"]["before_script"]
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
    python.chmod(0o755)
    tokens = dict.fromkeys(("FLY_API_TOKEN", "FLY_ACCESS_TOKEN", "CI_JOB_TOKEN"), "canary")
    environment = tokens | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    words = ended.stdout.splitlines()
    assert words[:4] == ["-I", "-m", "pip", "install"]
    pinned = r"machines-reconciler @ https://github\.com/OWNER/machines-reconciler/archive/0{40}\.tar\.gz"
    assert [word for word in words if re.fullmatch(pinned, word)]
    assert "canary" not in ended.stdout
