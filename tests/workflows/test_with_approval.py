"""The workflow of way 2, for each of its events: the plan of the merge commit is what is approved and applied."""

import pytest

from tests.support.team import Team

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def way(team: Team) -> None:
    team.use("apply-with-approval.yml")


def test_the_plan_of_the_merge_commit_is_applied(team: Team) -> None:
    pull, jobs = team.propose()
    assert {name: job.result for name, job in jobs.items()} == {"review": "success"}
    assert "Plan: 2 to create" in pull.comments[0]["body"]
    event = team.repository.merge(pull)
    jobs = team.start(event)
    assert {name: job.result for name, job in jobs.items()} == {"plan": "success", "apply": "success"}
    assert "Plan: 2 to create" in jobs["plan"].summary, "which the approver reads"
    assert len(pull.comments) == 1
    assert sorted(team.machines()) == ["one-iad-0", "one-iad-1"]
    jobs = team.start(team.repository.dispatch())
    assert {name: job.result for name, job in jobs.items()} == {"plan": "success"}, "nothing to approve"


def test_a_fork_gets_nothing(team: Team) -> None:
    _, jobs = team.propose(is_fork=True)
    assert jobs == {}
    assert team.engine.requests == []
