"""Journey 4: a pipeline plans into a file, shows it, and applies what was approved, again after a failed run."""

import re

from tests.support.journey import Journey

PAGE = "how-to/gitops.md"
SPEC = """\
version: 1
name: shop
apps:
  shop-tasks:
    image: registry.fly.io/shop-tasks:v1
    tasks:
      import-orders: {command: [import], count: 3}
"""


def test_a_pipeline(journey: Journey) -> None:
    journey.write("machines.yaml", SPEC)
    journey.engine.script("say '40 orders' exit 3")
    journey.follows("reconciler validate")
    planned = journey.follows("reconciler plan --out plan.json --detailed-exitcode", code=2)
    journey.follows("reconciler show plan.json -o markdown > plan.md")
    comment = (journey.directory / "plan.md").read_text()
    assert comment.startswith("<!-- reconciler plan of shop -->\n### `shop`: Plan: 3 to create")
    approved = re.findall(r"sha256:\w{64}", planned)[0]
    assert approved in comment

    assert "there is no terminal to ask on" in journey.types("reconciler apply", code=1)
    journey.engine.fault("trial", call="create", after=1, times="always")
    failed = journey.types("reconciler apply plan.json", code=1)
    assert "import-orders-iad-0: create done" in failed
    assert len(journey.versions("shop-tasks")) == 1
    journey.engine.clear_faults()
    assert "2 done" in journey.follows("reconciler apply plan.json")
    assert "Nothing left of this plan" in journey.follows("reconciler apply plan.json")
    assert "Nothing left of this plan" in journey.types(f"reconciler apply --expect-plan {approved} --revision 7")
    assert "No changes. 3 machines are as declared." in journey.types("reconciler plan --detailed-exitcode")

    assert journey.runs("reconciler invoke import-orders --idempotency-key 7", code=3) == "40 orders\n"
    assert "attaching" in journey.types("reconciler invoke import-orders --idempotency-key 7", code=3)
    assert "the spec's tasks: import-orders" in journey.types("reconciler invoke nope", code=125)


def test_a_pipeline_that_comes_too_late_changes_nothing(journey: Journey) -> None:
    journey.write("machines.yaml", SPEC)
    journey.types("reconciler plan --out plan.json")
    journey.write("machines.yaml", SPEC.replace(":v1", ":v2"))
    journey.types("reconciler apply --yes")
    before = journey.versions("shop-tasks")
    assert "is not the spec that the plan was made from" in journey.types("reconciler apply plan.json", code=1)
    assert "plan again" in journey.told
    assert journey.versions("shop-tasks") == before
