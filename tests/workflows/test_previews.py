"""The workflow of previews, for what a team's week does not show."""

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
