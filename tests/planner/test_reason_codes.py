"""The reason of a change as a value: the same cause as in its words."""

import pytest

from reconciler.model.change import ReasonCode
from reconciler.render.json import plan_json
from tests.support.plan_cases import CASES, ROOT, plan_of

WORDS = {
    "not there": ReasonCode.MISSING,
    "not there any more": ReasonCode.DESTROYED,
    "region cannot be changed": ReasonCode.REGION,
    "mounts cannot be changed": ReasonCode.VOLUME,
    "the image moved": ReasonCode.IMAGE,
    "was never applied whole": ReasonCode.INCOMPLETE,
    "declared as a": ReasonCode.KIND,
    "moved here from pool": ReasonCode.POOL,
    "stopped, should be running": ReasonCode.NOT_RUNNING,
    "does not stay up": ReasonCode.CRASHING,
    "taken over": ReasonCode.UNMARKED,
    "the count there is now": ReasonCode.COUNT_LOWERED,
    "as declared": ReasonCode.AS_DECLARED,
}


@pytest.mark.parametrize("case", CASES)
def test_the_code_says_what_the_words_say(case: str) -> None:
    plan = plan_of(ROOT / case)
    for change in plan.changes:
        assert change.code is not None
        matching = [words for words in WORDS if change.reason.startswith(words)]
        if matching:
            assert change.code is WORDS[max(matching, key=len)], change.reason
        assert (change.code is ReasonCode.DUPLICATE) == change.is_duplicate
    shown = plan_json(plan, plan_sha256=None, salt="")["changes"]
    assert [one["reason_code"] for one in shown] == [one.code.value for one in plan.effective if one.code]


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("drifted", ReasonCode.DRIFT),
        ("spec-and-drift", ReasonCode.SPEC_AND_DRIFT),
        ("env-changed", ReasonCode.SPEC),
        ("image-changed", ReasonCode.SPEC),
        ("retired", ReasonCode.POOL_REMOVED),
        ("scaled-down", ReasonCode.COUNT_LOWERED),
        ("twins", ReasonCode.DUPLICATE),
        ("adopt", ReasonCode.UNMARKED),
        ("first-apply", ReasonCode.MISSING),
        ("wrong-region", ReasonCode.REGION),
        ("other-volume", ReasonCode.VOLUME),
        ("service-stopped", ReasonCode.NOT_RUNNING),
        ("service-crashes", ReasonCode.CRASHING),
        ("slots-moved", ReasonCode.POOL),
    ],
)
def test_each_cause_has_a_code_of_its_own(case: str, code: ReasonCode) -> None:
    assert code in {change.code for change in plan_of(ROOT / case).changes}
