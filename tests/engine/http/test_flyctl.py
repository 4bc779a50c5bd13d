"""What Fly's own client asks of the engine beside the Machines API's documented ways, and what it wants back.

Each test is of one command: its requests as they were seen, and the members that it reads.
"""

from typing import Any

from reconciler.engine.http.serializers import event_json
from reconciler.engine.models import Event
from tests.support.engine_api import Ask, make
from tests.support.flyctl_api import at_root, rfc3339
from tests.support.world import World


async def test_list_after_an_exit_has_its_time_as_rfc_3339(ask: Ask) -> None:
    machine = await make(ask, "exit", "3", skip_launch=False, restart={"policy": "no"})
    await ask("GET", f"/machines/{machine}/wait?state=stopped")
    [listed] = (await ask("GET", "/machines")).json()
    told = [listed["events"], (await ask("GET", f"/machines/{machine}/events")).json()]
    for events in told:
        [payload] = [one["request"] for one in events if one["type"] == "exit"]
        at = rfc3339(payload["exit_event"]["exited_at"])
        [stamp] = [one["timestamp"] for one in events if one["type"] == "exit"]
        assert abs(at.timestamp() * 1000 - stamp) < 1000
        assert payload["exit_event"]["exit_code"] == 3
    assert all(isinstance(one["timestamp"], int) for one in listed["events"])


def test_an_exit_that_an_earlier_version_recorded_is_told_in_the_same_form() -> None:
    recorded: dict[str, Any] = {"exit_event": {"exit_code": 0, "exited_at": 1795941069783, "requested_stop": False}}
    event = Event(id="e", type="exit", status="stopped", source="flyd", timestamp_ms=1795941069783, request=recorded)
    told = event_json(event)["request"]["exit_event"]
    assert told == recorded["exit_event"] | {"exited_at": "2026-11-29T08:31:09.783000Z"}


async def test_apps_create_reads_the_name_of_the_new_app_and_asks_for_it(world: World, ask: Ask) -> None:
    body = {"name": "shop", "org_slug": "personal", "network": "", "app_role_id": ""}
    made = await at_root(world, "POST", "/v1/apps?wait=true", json=body)
    assert (made.status_code, made.json()["name"], made.json()["id"]) == (201, "shop", "shop")
    assert made.json()["organization"] == {"name": "personal", "slug": "personal"}
    found = (await at_root(world, "GET", "/v1/apps/shop")).json()
    assert (found["name"], found["status"], found["machine_count"]) == ("shop", "pending", 0)


async def test_orgs_and_releases_are_asked_for_beside_the_machines_api(world: World) -> None:
    world.engine.create_app("shop", "acme")
    found = (await at_root(world, "GET", "/api/v1/organizations?admin=false")).json()["organizations"]
    assert [(one["slug"], one["personal"], one["billing_status"]) for one in found] == [
        ("acme", False, "CURRENT"),
        ("personal", True, "CURRENT"),
    ]
    one = (await at_root(world, "GET", "/api/v1/organizations/acme")).json()["organization"]
    assert (one["id"], one["raw_slug"], one["paid_plan"]) == ("acme", "acme", True)
    unknown = await at_root(world, "GET", "/api/v1/organizations/nobody")
    assert (unknown.status_code, unknown.json()["error"]) == (404, "organization not found")


async def test_a_deploy_tells_of_its_release_and_of_how_it_went(world: World) -> None:
    world.engine.create_app("shop", "personal")
    assert (await at_root(world, "GET", "/api/v1/apps/shop/releases/current")).status_code == 404
    body = {"app_name": "shop", "build_id": 0, "definition": {"app": "shop"}, "image": "i:1", "strategy": "ROLLING"}
    made = await at_root(world, "POST", "/api/v1/releases", json=body)
    assert made.status_code == 201
    release = made.json()["release"]
    assert (release["version"], release["status"], release["in_progress"]) == (1, "pending", True)
    for status in ("running", "complete"):
        path = f"/api/v1/releases/{release['id']}"
        told = (await at_root(world, "PATCH", path, json={"status": status, "metadata": None})).json()
        assert told["status"] == status
    await at_root(world, "POST", "/api/v1/releases", json=body | {"image": "i:2"})
    listed = (await at_root(world, "GET", "/api/v1/apps/shop/releases?limit=25")).json()["releases"]
    assert [(one["version"], one["status"], one["image_ref"]) for one in listed] == [
        (2, "pending", "i:2"),
        (1, "complete", "i:1"),
    ]
    rfc3339(listed[0]["created_at"])
    current = (await at_root(world, "GET", "/api/v1/apps/shop/releases/current")).json()
    assert current["version"] == 2
    assert (await at_root(world, "PATCH", "/api/v1/releases/none", json={"status": "x"})).status_code == 404
    await at_root(world, "DELETE", "/v1/apps/shop")
    assert not list(world.engine.store.releases)


async def test_old_releases_are_forgotten(world: World) -> None:
    world.engine.create_app("shop", "personal")
    for _ in range(60):
        world.engine.releases.create("shop", {"image": "i"})
    assert [one.version for one in world.engine.releases.of("shop")] == list(range(60, 10, -1))


async def test_a_build_has_a_number_and_ends_as_its_client_says(world: World) -> None:
    world.engine.create_app("shop", "personal")
    build = {"app_name": "shop", "builder_type": "remote", "strategies_available": ["Remote Image Reference"]}
    begun = (await at_root(world, "POST", "/api/v1/builds", json=build)).json()
    assert isinstance(begun["id"], int)
    body: dict[str, Any] = {
        "build_id": begun["id"],
        "app_name": "shop",
        "status": "completed",
        "timings": {"build_and_push_ms": 7},
    }
    ended = (await at_root(world, "POST", "/api/v1/builds/finish", json=body)).json()
    assert ended == {"id": begun["id"], "status": "completed", "wallclock_time_ms": 7}
    assert (await at_root(world, "POST", "/api/v1/builds", json={"app_name": "none"})).status_code == 404


async def test_the_version_of_secrets_that_a_client_remembers_is_reached_in_an_app_that_was_made_again(
    world: World,
) -> None:
    world.engine.create_app("shop", "personal")
    for value in ("1", "2"):
        told = (await at_root(world, "POST", "/v1/apps/shop/secrets", json={"values": {"KEY": value}})).json()
    await at_root(world, "DELETE", "/v1/apps/shop")
    world.engine.create_app("shop", "personal")
    assert (await at_root(world, "GET", f"/v1/apps/shop/secrets?version={told['version']}")).json() == {"secrets": []}
    body = {"config": {"image": "i"}, "skip_launch": True, "min_secrets_version": told["version"]}
    assert (await at_root(world, "POST", "/v1/apps/shop/machines", json=body)).status_code == 200
    told = (await at_root(world, "POST", "/v1/apps/shop/secrets", json={"values": {"KEY": "3"}})).json()
    assert told["version"] == 3
