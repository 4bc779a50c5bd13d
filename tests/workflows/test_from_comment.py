"""The workflow of way 1, for what a team's week does not show."""

import pytest

from tests.support.team import SPEC, Team

pytestmark = pytest.mark.slow


def test_a_fork_is_compared_without_secrets(team: Team) -> None:
    team.use("apply-from-comment.yml")
    pull, jobs = team.propose(SPEC.replace("count: 2", "count: 3"), is_fork=True)
    assert {name: job.result for name, job in jobs.items()} == {"diff": "success"}, jobs
    assert "Plan: 1 to create" in jobs["diff"].summary
    assert pull.comments == []
    assert team.engine.requests == []
