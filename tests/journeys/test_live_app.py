"""Journey 3: an app that flyctl made is taken over, a task of it is run, and it is given back. Nothing restarts."""

from typing import Any

from tests.support.journey import Journey
from tests.support.live_apps import fly_metadata, web_config, worker_config

PAGE = "how-to/import.md"
RESTS: dict[str, Any] = {"restart": {"policy": "no"}, "metadata": fly_metadata("report")}


def test_an_app_that_flyctl_made(journey: Journey) -> None:
    journey.engine.script("run 1000000")
    journey.engine.script("say '40 orders' exit 3", machine="lazy-moon-1")
    env = web_config()["env"] | {"DB_PASSWORD": "nobody-prints-it"}
    api = journey.engine.client()
    api.post("/apps", json={"name": "shop", "org_slug": "personal"})
    for name, config, rests in (
        ("weathered-frog-7982", web_config(env=env), False),
        ("old-sun-3", worker_config(env=env), False),
        ("lazy-moon-1", worker_config(**RESTS), True),
    ):
        body = {"name": name, "region": "iad", "config": config, "skip_launch": rests}
        machine = api.post("/apps/shop/machines", json=body).raise_for_status().json()
        journey.engine.run(journey.engine.wait_for_state("shop", machine["id"], "stopped" if rests else "started"))
    before = journey.versions("shop")

    told = journey.follows("reconciler import shop > machines.yaml")
    assert "the first plan of this spec adopts 3 machines, and does nothing else" in told
    spec = (journey.directory / "machines.yaml").read_text()
    assert "nobody-prints-it" not in told
    assert "export DB_PASSWORD=…" in journey.types("reconciler plan", code=1)
    journey.export("DB_PASSWORD", "nobody-prints-it")
    assert "take it over with --adopt" in journey.types("reconciler plan", code=1)
    assert ", 3 to adopt." in journey.follows("reconciler plan --adopt")
    journey.types("reconciler apply --adopt --yes")
    assert "No changes. 3 machines are as declared." in journey.types("reconciler plan --detailed-exitcode")
    assert journey.versions("shop") == before

    assert journey.runs("reconciler invoke report", code=3) == "40 orders\n"
    after = journey.versions("shop")
    assert {name for name in before if after[name] != before[name]} == {"lazy-moon-1"}
    assert after["lazy-moon-1"] == (before["lazy-moon-1"][0], "stopped", before["lazy-moon-1"][2] + 1)

    journey.types("reconciler release --yes")
    assert journey.versions("shop") == after
    journey.follows("reconciler import shop > machines.yaml")
    assert (journey.directory / "machines.yaml").read_text() == spec
