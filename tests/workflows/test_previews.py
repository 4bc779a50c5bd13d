"""The workflow of previews: a stack for each open pull request, which goes with it; forks have none."""

import pytest

from tests.support.team import Team

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: shop-${RECONCILER_ENVIRONMENT:-production}
apps:
  shop:
    name: shop-${RECONCILER_ENVIRONMENT:-production}
    image: i:1
    env: {SECRET: canary-value}
    tasks:
      one: {command: ['true'], count: %s}
"""


@pytest.fixture(autouse=True)
def way(team: Team) -> None:
    team.use("previews.yml")
    team.repository.push({"machines.yaml": SPEC % 1})


def test_a_preview_comes_changes_and_goes_with_its_pull_request(team: Team) -> None:
    pull, jobs = team.propose(SPEC % 2)
    assert {name: job.result for name, job in jobs.items()} == {"preview": "success"}, jobs["preview"].said
    assert len(team.engine.machines("shop-pr-1")) == 2
    [comment] = pull.comments
    assert "2 done" in comment["body"]

    team.repository.update(pull, {"machines.yaml": SPEC % 1})
    assert team.start(team.repository.event(pull, "synchronize"))["preview"].result == "success"
    assert len(team.engine.machines("shop-pr-1")) == 1
    assert len(pull.comments) == 1, "changed in place"

    jobs = team.start(team.repository.close(pull))
    assert {name: job.result for name, job in jobs.items()} == {"remove": "success"}, jobs["remove"].said
    assert "shop-pr-1" not in apps(team)
    assert len(pull.comments) == 1

    before = len(team.engine.requests)
    jobs = team.start(team.repository.schedule())
    assert {name: job.result for name, job in jobs.items()} == {"sweep": "success"}, jobs["sweep"].said
    assert [one for one in team.engine.requests[before:] if not one.startswith("GET")] == []


def test_the_sweep_removes_what_is_left_of_closed_pull_requests_alone(team: Team) -> None:
    closed, _ = team.propose(SPEC % 2)
    team.propose(SPEC % 1)
    team.repository.close(closed)  # its own run was lost
    assert apps(team) == {"shop-pr-1", "shop-pr-2"}
    assert team.start(team.repository.schedule())["sweep"].result == "success"
    assert apps(team) == {"shop-pr-2"}


def test_a_stack_that_is_not_the_pull_requests_own_is_left_alone(team: Team) -> None:
    pull, jobs = team.propose(SPEC.replace("name: shop-${RECONCILER_ENVIRONMENT:-production}", "name: shop", 1) % 1)
    assert jobs["preview"].result == "failure"
    assert "the stack shop is not one of the environment pr-1 alone" in jobs["preview"].said
    assert team.start(team.repository.close(pull))["remove"].result == "failure"
    assert [one for one in team.engine.requests if not one.startswith("GET")] == []


def test_a_fork_has_none(team: Team) -> None:
    pull, jobs = team.propose(SPEC % 2, is_fork=True)
    assert jobs == {}
    assert team.start(team.repository.close(pull)) == {}
    assert team.engine.requests == []


def apps(team: Team) -> set[str]:
    found = team.engine.client().get("/apps", params={"org_slug": "personal"}).raise_for_status().json()["apps"]
    return {one["name"] for one in found}
