"""The workflow of way 2, for what a team's week does not show."""

import pytest

from tests.support.team import Team

pytestmark = pytest.mark.slow


def test_a_fork_gets_nothing(team: Team) -> None:
    team.use("apply-with-approval.yml")
    _, jobs = team.propose(is_fork=True)
    assert jobs == {}
    assert team.engine.requests == []
