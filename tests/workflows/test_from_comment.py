"""The workflow of way 1, for each of its events: the merge applies what the pull request's comment showed."""

import pytest

from tests.support.team import SPEC, Team

pytestmark = pytest.mark.slow

MORE = SPEC.replace("count: 2", "count: 3")


@pytest.fixture(autouse=True)
def way(team: Team) -> None:
    team.use("apply-from-comment.yml")


def test_a_pull_request_is_planned_and_its_merge_applied(team: Team) -> None:
    pull, jobs = team.propose()
    assert {name: job.result for name, job in jobs.items()} == {"plan": "success"}
    [comment] = pull.comments
    assert "Plan: 2 to create" in comment["body"]

    team.repository.update(pull, {"machines.yaml": MORE})
    assert team.start(team.repository.event(pull, "synchronize"))["plan"].result == "success"
    assert len(pull.comments) == 1
    assert "Plan: 3 to create" in pull.comments[0]["body"]

    jobs = team.start(team.repository.merge(pull))
    assert {name: job.result for name, job in jobs.items()} == {"apply": "success"}, jobs["apply"].said
    assert sorted(team.machines()) == ["one-iad-0", "one-iad-1", "one-iad-2"]

    jobs = team.start(team.repository.schedule())
    assert {name: job.result for name, job in jobs.items()} == {"drift": "success"}
    team.change_by_hand("one-iad-1", image="i:by-hand")
    jobs = team.start(team.repository.schedule())
    assert jobs["drift"].result == "failure"
    assert "machines were changed by hand" in jobs["drift"].said


def test_a_fork_is_compared_without_secrets(team: Team) -> None:
    pull, jobs = team.propose(MORE, is_fork=True)
    assert {name: job.result for name, job in jobs.items()} == {"diff": "success"}, jobs
    assert "Plan: 1 to create" in jobs["diff"].summary
    assert pull.comments == []
    assert team.engine.requests == []
