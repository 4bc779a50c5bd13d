"""What the platform's newer document says of apps, versions, leases and configs, asked over HTTP."""

from typing import Any

import pytest

from reconciler.engine.faults.settings import Behaviour, Latency, Settings
from reconciler.engine.models import CheckResult
from tests.support.engine_api import Ask, error_of, make, with_api
from tests.support.world import World

APPS = "http://127.0.0.1/v1/apps"
ORGANIZATION = "http://127.0.0.1/v1/orgs/personal/machines"


@pytest.mark.parametrize("member", ["version", "instance_id"])
async def test_a_stale_current_version_is_a_conflict_and_changes_nothing(world: World, ask: Ask, member: str) -> None:
    path = f"/machines/{await make(ask, 'x')}"
    await world.context.clock.sleep(1)
    old = (await ask("GET", path)).json()
    change = {"config": {"image": "j"}, "current_version": old[member]}
    assert (await ask("POST", path, json=change)).status_code == 200
    await world.context.clock.sleep(1)
    before = (await ask("GET", path)).json()
    status, text = error_of(await ask("POST", path, json=change | {"config": {"image": "k"}}))
    assert (status, "current_version" in text) == (409, True)
    assert (await ask("GET", path)).json() == before
    assert before["version"] == before["instance_id"] != old["version"]


@pytest.mark.world(Settings(behaviour=Behaviour(tells_instance_id=False)))
async def test_by_a_setting_no_machine_has_the_deprecated_instance_id(ask: Ask) -> None:
    path = f"/machines/{await make(ask, 'x')}"
    for one in ((await ask("GET", path)).json(), *(await ask("GET", "/machines")).json()):
        assert len(one["version"]) == 26
        assert "instance_id" not in one


async def test_an_organisations_list_has_versions_and_no_instance_ids(ask: Ask) -> None:
    await make(ask, "x")
    [one] = (await ask("GET", ORGANIZATION)).json()["machines"]
    assert len(one["version"]) == 26
    assert "instance_id" not in one


async def test_an_old_version_is_told_whole_with_its_image(world: World, ask: Ask) -> None:
    path = f"/machines/{await make(ask, 'x', image='registry.example/a:1', metadata={'a': '1'})}"
    first = (await ask("GET", path)).json()
    await world.context.clock.sleep(5)
    await ask("POST", path, json={"config": {"image": "registry.example/a:2"}})
    await world.context.clock.sleep(5)
    old = (await ask("GET", f"{path}?version={first['version']}")).json()
    assert (old["version"], old["state"]) == (first["version"], "replaced")
    assert (old["config"], old["image_ref"]) == (first["config"], first["image_ref"])
    assert old["updated_at"] == first["created_at"]
    now = (await ask("GET", path)).json()
    assert (await ask("GET", f"{path}?version={now['version']}")).json() == now
    assert now["image_ref"]["digest"] != old["image_ref"]["digest"]
    assert error_of(await ask("GET", f"{path}?version={'0' * 26}")) == (404, "machine version not found")


async def test_a_list_tells_who_holds_each_lease_but_not_its_nonce(world: World, ask: Ask) -> None:
    held, free = await make(ask, "x", name="held"), await make(ask, "x", name="free")
    lease = (await ask("POST", f"/machines/{held}/lease", json={"ttl": 30, "description": "mine"})).json()["data"]
    told = {"owner": lease["owner"], "description": "mine", "expires_at": lease["expires_at"]}
    listed = {one["name"]: one for one in (await ask("GET", "/machines?include_leases=true&summary=true")).json()}
    assert listed["held"]["lease"] == told
    assert "lease" not in listed["free"]
    assert (await ask("GET", f"/machines/{held}?include_leases=true")).json()["lease"] == told
    assert "lease" not in (await ask("GET", f"/machines/{held}")).json()
    await world.context.clock.sleep(31)
    assert "lease" not in (await ask("GET", f"/machines/{held}?include_leases=true")).json()
    assert "lease" not in (await ask("GET", f"/machines/{free}?include_leases=true")).json()


def test_an_app_is_created_once_for_an_idempotency_key() -> None:
    async def scenario(world: World, ask: Ask) -> None:
        async def create(**body: Any) -> Any:
            return await ask("POST", APPS, json={"org_slug": "personal", **body})

        first = await create(name="mine", idempotency_key="k", network="inner")
        again, nameless = await create(name="mine", idempotency_key="k"), await create(idempotency_key="k")
        assert first.status_code == again.status_code == nameless.status_code == 201
        assert first.json() == again.json() == nameless.json()
        assert error_of(await create(name="other", idempotency_key="k"))[0] == 422
        taken = await create(name="mine", idempotency_key="l")
        assert (taken.status_code, taken.json()["status"]) == (422, "name_taken")
        assert (await create(name="mine")).json()["status"] == "name_taken"
        assert (await ask("GET", f"{APPS}/mine")).json()["network"] == "inner"
        assert (await create()).json()["name"].startswith("app-")
        assert set(world.engine.store.apps) >= {"app", "mine"}

    with_api(scenario)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"spot": {"max_price_fraction": 0}}, "max_price_fraction must be above 0"),
        ({"spot": {"max_price_fraction": 1.01}}, "max_price_fraction must be above 0"),
        ({"spot": {"max_price_fraction": "half"}}, "max_price_fraction must be"),
        ({"restart": {"policy": "spot-price"}}, "invalid restart policy: spot-price"),
        ({"mounts": [{"volume": "v", "add_size_gb": 1, "add_size_percent": 5}]}, "not by both"),
        ({"guest": {"required_host_features": "nested"}}, "required_host_features must be an array"),
    ],
)
async def test_values_that_the_document_excludes_are_refused(ask: Ask, config: dict[str, Any], words: str) -> None:
    status, text = error_of(await ask("POST", "/machines", json={"config": {"image": "i"} | config}))
    assert (status, words in text) == (400, True), text


async def test_spot_and_host_features_come_back_as_sent(world: World, ask: Ask) -> None:
    sent: dict[str, Any] = {"spot": {"max_price_fraction": 1}, "guest": {"required_host_features": ["nested"]}}
    machine = (await ask("GET", f"/machines/{await make(ask, 'x', **sent)}")).json()
    assert machine["config"]["spot"] == sent["spot"]
    assert machine["config"]["guest"]["required_host_features"] == ["nested"]
    assert machine["host_features"] == []
    await world.engine.volumes.create("app", {"name": "data", "compute": sent["guest"]})
    [volume] = (await ask("GET", "/volumes?summary=true")).json()
    assert (volume["required_host_features"], volume["host_features"]) == (["nested"], [])
    wrong = {"name": "data", "compute": {"required_host_features": 3}}
    assert error_of(await ask("POST", "/volumes", json=wrong))[0] == 400


async def test_a_command_runs_in_the_machine_or_in_a_container_not_in_both(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "100", skip_launch=False)
    await world.context.clock.sleep(1)
    body = {"command": ["say", "a"], "machine": True}
    assert (await ask("POST", f"/machines/{machine}/exec", json=body)).status_code == 200
    both = await ask("POST", f"/machines/{machine}/exec", json=body | {"container": "main"})
    assert error_of(both) == (400, "invalid_argument: machine and container exclude each other")


@pytest.mark.world(Settings(latency=Latency(manifest_s=60)))
async def test_a_new_image_is_not_known_for_a_while(world: World, ask: Ask) -> None:
    body = {"name": "m", "config": {"image": "registry.example/a:1"}, "skip_launch": True}
    status, text = error_of(await ask("POST", "/machines", json=body))
    assert (status, "MANIFEST_UNKNOWN" in text) == (400, True)
    await world.context.clock.sleep(61)
    made = await ask("POST", "/machines", json=body)
    assert made.status_code == 200
    await world.context.clock.sleep(1)
    path, change = f"/machines/{made.json()['id']}", {"config": {"image": "registry.example/a:2"}}
    assert (await ask("POST", path, json={"config": body["config"]})).status_code == 200
    await world.context.clock.sleep(1)
    assert error_of(await ask("POST", path, json=change))[0] == 400
    await world.context.clock.sleep(61)
    assert (await ask("POST", path, json=change)).status_code == 200


async def limits(ask: Ask, **body: Any) -> Any:
    asked = {"org_slug": "personal", "region": "iad", **body}
    return (await ask("POST", "http://127.0.0.1/v1/platform/placements", json=asked)).json()["Regions"][0]["Count"]


async def test_by_default_there_is_no_limit_of_machines_in_a_region(ask: Ask) -> None:
    assert await limits(ask) > 10_000


@pytest.mark.world(Settings(behaviour=Behaviour(machines_per_region=2)))
async def test_the_limit_of_machines_in_a_region_is_told_and_kept(ask: Ask) -> None:
    assert (await limits(ask), await limits(ask, count=0), await limits(ask, count=1)) == (2, 2, 1)
    first, _second = await make(ask, "x", name="a"), await make(ask, "x", name="b")
    refused = await ask("POST", "/machines", json={"name": "c", "config": {"image": "i"}})
    assert error_of(refused) == (422, "the organization has reached its machine limit")
    elsewhere = {"name": "c", "region": "ams", "config": {"image": "i"}, "skip_launch": True}
    assert (await ask("POST", "/machines", json=elsewhere)).status_code == 200
    await ask("DELETE", f"/machines/{first}?force=true")
    await make(ask, "x", name="a")


async def test_a_write_of_metadata_makes_the_reports_of_checks_begin_anew(world: World, ask: Ask) -> None:
    path = f"/machines/{await make(ask, 'run', '100', skip_launch=False)}"
    await world.context.clock.sleep(1)
    machine = world.machines()[0]
    world.engine.check_results.begin(machine, ["up"], CheckResult(status="passing", output="yes"))
    await ask("POST", f"{path}/metadata/a", json={"value": "1"})
    [report] = (await ask("GET", path)).json()["checks"]
    assert (report["name"], report["status"]) == ("up", "warning")


async def test_no_stop_takes_more_than_five_minutes(world: World, ask: Ask) -> None:
    config: dict[str, Any] = {"stop_config": {"timeout": "1h"}}
    path = f"/machines/{await make(ask, 'stubborn', 'run', '100000', skip_launch=False, **config)}"
    await world.context.clock.sleep(1)
    await ask("POST", f"{path}/stop")
    await world.context.clock.sleep(290)
    assert (await ask("GET", path)).json()["state"] == "stopping"
    await world.context.clock.sleep(20)
    assert (await ask("GET", path)).json()["state"] == "stopped"


@pytest.mark.world(Settings(limits_rates=True))
async def test_too_many_calls_are_refused_without_a_word_when_to_come_again(ask: Ask) -> None:
    replies = [await ask("GET", "/machines") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
    assert "retry-after" not in replies[-1].headers
