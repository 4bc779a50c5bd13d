"""The pipeline for GitLab: a merge request is planned; on the default branch the plan is saved, and applied by hand."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
