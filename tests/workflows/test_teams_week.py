"""A team's week over one repository, one platform and one stack: what happens ends as docs/how-to/gitops.md says."""

import re
from collections.abc import Mapping

import pytest

from tests.support.github_repository import Event, Pull
from tests.support.team import Team
from tests.support.what_if import WhatIf
from tests.support.workflows import Job

pytestmark = pytest.mark.slow

APP = "shop-production"
FIRST = {"one": "1", "two": "1", "three": "1"}
LAST = {"one": "3", "two": "3", "three": "1"}


def spec(values: Mapping[str, str] = FIRST, *, count: int = 6, image: str = "i:1") -> str:
    """Three tasks, far enough from each other that git merges a change of each."""
    pools = "\n\n\n".join(
        f"      {name}:\n        command: ['true']\n        env: {{SECRET: canary-value, VALUE: '{value}'}}\n"
        f"        count: {count if name == 'one' else 1}"
        for name, value in values.items()
    )
    name = "name: shop-${RECONCILER_ENVIRONMENT:-production}"
    return f"version: 1\n{name}\napps:\n  app:\n    {name}\n    image: {image}\n\n\n    tasks:\n{pools}\n"


class Week:
    """What the days share."""

    def __init__(self, team: Team) -> None:
        self.team, self.repository, self.engine = team, team.repository, team.engine
        self.what_if = WhatIf()

    @property
    def values(self) -> dict[str, str]:
        """The value that each pool's machines have."""
        found = {(one["name"].partition("-")[0], one["config"]["env"]["VALUE"]) for one in self.engine.machines(APP)}
        assert len(found) == len(dict(found)), f"one pool has several: {found}"
        return dict(found)

    @property
    def images(self) -> set[str]:
        return {one["config"]["image"] for one in self.engine.machines(APP)}

    def propose(self, text: str) -> Pull:
        pull, jobs = self.team.propose(text)
        assert {name: job.result for name, job in jobs.items()} == {"plan": "success"}, jobs["plan"].said
        return pull

    def apply(self, event: Event) -> Job:
        jobs = self.team.start(event)
        assert list(jobs) == ["apply"]
        return jobs["apply"]

    def drift(self) -> Job:
        jobs = self.team.start(self.repository.schedule())
        assert list(jobs) == ["drift"]
        return jobs["drift"]

    def written_since(self, before: int) -> list[str]:
        """The writes of the platform's requests but for those first ones."""
        return [one for one in self.engine.requests[before:] if not one.startswith("GET ")]


def test_a_teams_week(team: Team) -> None:
    week = Week(team)
    team.use("apply-from-comment.yml")
    first = an_apply_that_fails_half_way_is_run_again(week)
    team.use("previews.yml")
    previews_come_change_and_go(week)
    team.use("apply-from-comment.yml")
    of_three_merges_in_a_minute_the_last_applies_all(week)
    two_merges_of_one_machine_are_approved_by_the_hash_of_now(week)
    a_hotfix_is_told_and_what_undoes_it_is_reviewed_with_a_revert(week)
    what_destroys_too_much_is_allowed_by_a_label(week)
    a_job_of_a_month_ago_does_nothing(week, first)
    a_push_without_a_pull_request_does_what_was_approved(week)
    team.use("apply-with-approval.yml")
    the_plan_of_the_merge_commit_is_approved(week)


def an_apply_that_fails_half_way_is_run_again(week: Week) -> Event:
    pull = week.propose(spec())
    assert "Plan: 8 to create" in pull.comments[0]["body"]
    event = week.repository.merge(pull)
    week.engine.fault("trial", call="create", after=3, times=99)
    failed = week.apply(event)
    assert failed.result == "failure"
    assert "run this job again" in failed.summary
    assert len(week.engine.machines(APP)) == 3
    week.engine.clear_faults()
    week.what_if.holds("an apply failed half way", week.apply(event))
    assert len(week.engine.machines(APP)) == 8

    before = len(week.engine.requests)
    week.what_if.holds("a green job is run again", week.apply(event))
    assert week.written_since(before) == []
    assert week.drift().result == "success"
    return event


def previews_come_change_and_go(week: Week) -> None:
    one, jobs = week.team.propose(spec(count=1))
    assert {name: job.result for name, job in jobs.items()} == {"preview": "success"}, jobs["preview"].said
    mine = f"shop-pr-{one.number}"
    assert len(week.engine.machines(mine)) == 3
    assert "3 done" in one.comments[0]["body"]
    week.repository.update(one, {"machines.yaml": spec(count=2)})
    assert week.team.start(week.repository.event(one, "synchronize"))["preview"].result == "success"
    assert len(week.engine.machines(mine)) == 4
    assert len(one.comments) == 1, "changed in place"

    other, _ = week.team.propose(spec(count=1))
    theirs = f"shop-pr-{other.number}"
    week.repository.close(other)  # the run that this starts is lost
    assert apps(week) == {APP, mine, theirs}
    assert week.team.start(week.repository.schedule())["sweep"].result == "success"
    assert apps(week) == {APP, mine}
    jobs = week.team.start(week.repository.close(one))
    assert {name: job.result for name, job in jobs.items()} == {"remove": "success"}, jobs["remove"].said
    assert apps(week) == {APP}
    assert len(week.engine.machines(APP)) == 8


def of_three_merges_in_a_minute_the_last_applies_all(week: Week) -> None:
    pulls = [week.propose(spec(FIRST | {name: "2"})) for name in ("one", "two", "three")]
    events = [week.repository.merge(pull, squash=pull is pulls[1]) for pull in pulls]
    first, second, third = week.team.runner.run_at_once(week.team.workflow, events)
    assert first["apply"].result == "success"
    assert "Superseded by commit" in first["apply"].summary
    assert second["apply"].result == "cancelled", "GitHub drops it"
    week.what_if.holds("three merges in a minute", third["apply"])
    assert week.values == {"one": "2", "two": "2", "three": "2"}


def two_merges_of_one_machine_are_approved_by_the_hash_of_now(week: Week) -> None:
    now = {"one": "2", "two": "2", "three": "2"}
    left, right = week.propose(spec(now | {"one": "3"})), week.propose(spec(now, image="i:2"))
    week.repository.merge(left)
    event, before = week.repository.merge(right), len(week.engine.requests)
    refused = week.apply(event)
    week.what_if.holds("two merges change one machine", refused)
    assert f"{APP}/one-iad-0: update is due now, which was not approved" in refused.said
    assert week.written_since(before) == []

    found = re.search(r"What is due now is the plan `(sha256:[0-9a-f]{64})`", refused.summary)
    assert found, refused.summary
    by_hand = week.repository.dispatch(plan=found[1])
    week.engine.fault("trial", call="update", after=3, times=99)
    assert week.apply(by_hand).result == "failure"
    assert week.images == {"i:1", "i:2"}
    week.engine.clear_faults()
    week.what_if.holds("an apply failed half way", week.apply(by_hand))
    assert week.values == now | {"one": "3"}
    assert week.images == {"i:2"}


def a_hotfix_is_told_and_what_undoes_it_is_reviewed_with_a_revert(week: Week) -> None:
    now = {"one": "3", "two": "2", "three": "2"}
    pull = week.propose(spec(now | {"two": "3"}, image="i:2"))
    week.team.update_as_flyctl(APP, "two-iad-0", image="i:hotfix")
    told = week.drift()
    assert told.result == "failure"
    assert "two-iad-0" in told.summary
    assert "machines were changed by hand" in told.said

    event, before = week.repository.merge(pull), len(week.engine.requests)
    refused = week.apply(event)
    week.what_if.holds("a machine was changed by someone else", refused)
    assert f"{APP}/two-iad-0" in refused.said
    assert week.written_since(before) == []
    assert week.images == {"i:2", "i:hotfix"}

    revert = week.propose(spec(LAST, image="i:2"))
    assert "Plan: 0 to create, 2 to update" in revert.comments[0]["body"]
    week.what_if.holds("a merge is reverted", week.apply(week.repository.merge(revert)))
    assert week.values == LAST
    assert week.images == {"i:2"}


def what_destroys_too_much_is_allowed_by_a_label(week: Week) -> None:
    pull = week.propose(spec(LAST, count=1, image="i:2"))
    assert "needs --allow-destroy 5" in pull.comments[0]["body"]
    pull.labels.append("reconciler: allow-destroy")
    assert week.team.start(week.repository.event(pull, "labeled"))["plan"].result == "success"
    assert len(pull.comments) == 1, "changed in place"
    week.what_if.holds("a plan destroys too much", week.apply(week.repository.merge(pull)))
    assert len(week.engine.machines(APP)) == 3


def a_job_of_a_month_ago_does_nothing(week: Week, event: Event) -> None:
    before = len(week.engine.requests)
    week.what_if.holds("a job of a month ago", week.apply(event))
    assert week.engine.requests[before:] == []


def a_push_without_a_pull_request_does_what_was_approved(week: Week) -> None:
    refused = week.apply(week.repository.push({"machines.yaml": spec(LAST | {"three": "9"}, count=1, image="i:2")}))
    assert refused.result == "failure"
    assert f"{APP}/three-iad-0" in refused.said
    assert week.values["three"] == "1"
    nothing_is_due = week.repository.push({"machines.yaml": spec(LAST, count=1, image="i:2")})
    week.what_if.holds("a push without a pull request", week.apply(nothing_is_due))


def the_plan_of_the_merge_commit_is_approved(week: Week) -> None:
    pull, jobs = week.team.propose(spec(LAST, count=3, image="i:2"))
    assert {name: job.result for name, job in jobs.items()} == {"review": "success"}
    assert "Plan: 2 to create" in pull.comments[0]["body"]
    event = week.repository.merge(pull)
    week.engine.fault("trial", call="create", after=1, times=99)
    jobs = week.team.start(event)
    assert {name: job.result for name, job in jobs.items()} == {"plan": "success", "apply": "failure"}
    assert "Plan: 2 to create" in jobs["plan"].summary, "which the approver reads"
    week.engine.clear_faults()
    week.what_if.holds("an apply failed half way", week.team.run_failed_again(event, jobs)["apply"])
    assert len(week.engine.machines(APP)) == 5
    jobs = week.team.start(week.repository.dispatch())
    assert {name: job.result for name, job in jobs.items()} == {"plan": "success"}, "nothing to approve"


def apps(week: Week) -> set[str]:
    found = week.engine.client().get("/apps", params={"org_slug": "personal"}).raise_for_status().json()["apps"]
    return {one["name"] for one in found}
