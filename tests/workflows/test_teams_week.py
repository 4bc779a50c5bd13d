"""A team's week with way 1, as docs/gitops.md tells it: each thing that happens ends as its row there says."""

import re

import pytest

from reconciler.cli.main import run
from tests.support.environment import clear_environment
from tests.support.github_repository import Pull
from tests.support.team import Team
from tests.support.workflows import Job

pytestmark = pytest.mark.slow


def spec(one: str = "1", two: str = "1", three: str = "1", count: int = 2, image: str = "i:1") -> str:
    """Three tasks, far enough from each other that git merges a change of each."""
    pools = "\n\n\n".join(
        f"      {name}:\n        command: ['true']\n        env: {{SECRET: canary-value, VALUE: '{value}'}}\n"
        f"        count: {count if name == 'one' else 1}"
        for name, value in (("one", one), ("two", two), ("three", three))
    )
    return f"version: 1\nname: stack\napps:\n  app:\n    image: {image}\n    org: personal\n\n\n    tasks:\n{pools}\n"


def values(team: Team) -> dict[str, str]:
    return {one["name"]: one["config"]["env"]["VALUE"] for one in team.engine.machines("app")}


def applied(jobs: dict[str, Job]) -> Job:
    assert list(jobs) == ["apply"]
    return jobs["apply"]


def propose(team: Team, text: str) -> Pull:
    pull, jobs = team.propose(text)
    assert jobs["plan"].result == "success", jobs["plan"].said
    return pull


@pytest.fixture(autouse=True)
def way(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spec is on main, and applied."""
    team.use("apply-from-comment.yml")
    team.repository.push({"machines.yaml": spec()})
    clear_environment(monkeypatch)
    for name, value in {**team.engine.environment, "RECONCILER_HOME": str(team.repository.directory.parent)}.items():
        monkeypatch.setenv(name, value)
    assert run(["apply", "--yes", "-C", str(team.repository.directory)]) == 0
    assert len(team.machines()) == 4


def test_an_apply_that_failed_half_way_goes_on_when_it_is_run_again(team: Team) -> None:
    event = team.repository.merge(propose(team, spec(one="2", two="2")))
    team.engine.fault("trial", call="update", after=1, times=9)
    assert applied(team.start(event)).result == "failure"
    assert sorted(values(team).values()) == ["1", "1", "1", "2"]
    team.engine.clear_faults()
    assert applied(team.start(event)).result == "success", "run again"
    assert values(team) == {"one-iad-0": "2", "one-iad-1": "2", "two-iad-0": "2", "three-iad-0": "1"}

    before = len(team.engine.requests)
    again = applied(team.start(event))
    assert again.result == "success", "a green job that is run again"
    written = [one for one in team.engine.requests[before:] if not one.startswith("GET")]
    assert written == []

    revert = propose(team, spec())
    assert applied(team.start(team.repository.merge(revert))).result == "success"
    assert set(values(team).values()) == {"1"}
    late = applied(team.start(event))
    assert late.result == "success", "a job of a month ago"
    assert "Superseded by commit" in late.summary
    assert set(values(team).values()) == {"1"}


def test_of_three_merges_in_a_minute_the_last_one_applies_all(team: Team) -> None:
    pulls = [propose(team, spec(one="2")), propose(team, spec(two="2")), propose(team, spec(three="2"))]
    events = [team.repository.merge(pull, squash=pull is pulls[1]) for pull in pulls]
    first, second, third = team.runner.run_at_once(team.workflow, events)
    assert first["apply"].result == "success"
    assert "Superseded by commit" in first["apply"].summary
    assert first["apply"].outputs == {}
    assert second["apply"].result == "cancelled", "GitHub drops it"
    assert third["apply"].result == "success", third["apply"].said
    assert values(team) == {"one-iad-0": "2", "one-iad-1": "2", "two-iad-0": "2", "three-iad-0": "2"}


def test_what_no_merge_has_approved_is_listed_and_approved_by_its_hash(team: Team) -> None:
    left, right = propose(team, spec(one="2")), propose(team, spec(image="i:2"))
    team.repository.merge(left)
    refused = applied(team.start(team.repository.merge(right)))
    assert refused.result == "failure"
    assert "app/one-iad-0: update is due now, which was not approved" in refused.said
    assert set(values(team).values()) == {"1"}, "nothing was written"
    found = re.search(r"What is due now is the plan `(sha256:[0-9a-f]{64})`", refused.summary)
    assert found, refused.summary
    by_hand = applied(team.start(team.repository.dispatch(plan=found[1])))
    assert by_hand.result == "success", by_hand.said
    assert values(team)["one-iad-0"] == "2"
    assert set(team.machines().values()) == {"i:2"}


def test_a_machine_that_was_changed_by_hand_after_the_review_is_refused(team: Team) -> None:
    pull = propose(team, spec(two="2"))
    team.change_by_hand("two-iad-0", image="i:hotfix")
    event = team.repository.merge(pull)
    refused = applied(team.start(event))
    assert refused.result == "failure"
    assert "app/two-iad-0" in refused.said
    assert team.machines()["two-iad-0"] == "i:hotfix"
    assert set(values(team).values()) == {"1"}


def test_a_push_without_a_pull_request_does_nothing_that_was_not_approved(team: Team) -> None:
    assert applied(team.start(team.repository.push({"README.md": "new"}))).result == "success"
    refused = applied(team.start(team.repository.push({"machines.yaml": spec(three="9")})))
    assert refused.result == "failure"
    assert "app/three-iad-0" in refused.said
    assert set(values(team).values()) == {"1"}


def test_what_destroys_too_much_is_allowed_by_a_label_before_the_merge(team: Team) -> None:
    assert applied(team.start(team.repository.merge(propose(team, spec(count=6))))).result == "success"
    pull = propose(team, spec(count=1))
    assert "needs --allow-destroy 5" in pull.comments[0]["body"]
    pull.labels.append("reconciler: allow-destroy")
    assert team.start(team.repository.event(pull, "labeled"))["plan"].result == "success"
    ended = applied(team.start(team.repository.merge(pull)))
    assert ended.result == "success", ended.said
    assert len(team.machines()) == 3
