"""Addresses of apps, as REST and as GraphQL tell them: allocate, list, release."""

from typing import Any

import httpx

from reconciler.engine.store.store import Store
from tests.support.flyctl_api import at_root, rfc3339
from tests.support.graphql import ask, refused
from tests.support.world import World

LIST = """query ($name: String!) { app(name: $name) { sharedIpAddress egressIpAddresses { nodes { ip } }
    ipAddresses { nodes { address network { name organization { slug } } } } } }"""
ALLOCATE = """mutation ($input: Input!) { allocateIpAddress(input: $input) {
    app { sharedIpAddress } ipAddress { address type } } }"""
RELEASE = "mutation ($input: Input!) { releaseIpAddress(input: $input) { clientMutationId } }"


async def rest(world: World, method: str, path: str = "", app: str = "shop", **options: Any) -> httpx.Response:
    return await at_root(world, method, f"/v1/apps/{app}/ip_assignments{path}", **options)


async def test_the_machines_api_assigns_lists_and_releases(world: World) -> None:
    world.engine.create_app("shop", "personal")
    wanted = {"type": "shared_v4", "region": "", "org_slug": "", "network": "", "service_name": ""}
    shared = (await rest(world, "POST", json=wanted)).json()
    assert (shared["ip"], shared["shared"], shared["region"]) == ("198.51.100.1", True, "global")
    rfc3339(shared["created_at"])
    assert (await rest(world, "POST", json=wanted)).json() == shared
    own = (await rest(world, "POST", json={"type": "v6"})).json()
    assert (own["ip"], own["shared"]) == ("2001:db8::1", False)
    assert (await rest(world, "GET")).json() == {"ips": [shared, own]}
    assert (await rest(world, "DELETE", f"/{own['ip']}")).status_code == 204
    gone = await rest(world, "DELETE", f"/{own['ip']}")
    assert (gone.status_code, gone.json()) == (404, {"error": "IP address not found"})
    assert (await rest(world, "GET")).json() == {"ips": [shared]}


async def test_ips_allocate_list_and_release_by_graphql(world: World) -> None:
    world.engine.create_app("shop", "personal")
    given = await ask(world, ALLOCATE, input={"appId": "shop", "type": "shared_v4"})
    assert given == {"app": {"sharedIpAddress": "198.51.100.1"}, "ipAddress": None}
    given = await ask(world, ALLOCATE, input={"appId": "shop", "type": "v4", "region": ""})
    assert given["ipAddress"] == {"address": "203.0.113.1", "type": "v4"}
    given = await ask(world, ALLOCATE, input={"appId": "shop", "type": "private_v6", "organizationId": "personal"})
    private = given["ipAddress"]["address"]
    found = await ask(world, LIST, name="shop")
    assert found["sharedIpAddress"] == "198.51.100.1"
    assert [(one["address"], one["network"] is not None) for one in found["ipAddresses"]["nodes"]] == [
        ("203.0.113.1", False),
        (private, True),
    ]
    assert found["egressIpAddresses"] == {"nodes": []}
    for ip in ("198.51.100.1", "203.0.113.1", private):
        await ask(world, RELEASE, input={"appId": "shop", "ip": ip})
    assert (await rest(world, "GET")).json() == {"ips": []}
    assert await refused(world, RELEASE, input={"appId": "shop", "ip": private}) == (
        "IP address not found",
        "NOT_FOUND",
    )


async def test_an_address_is_released_by_its_id_alone_as_older_clients_do_it(world: World) -> None:
    world.engine.create_app("shop", "personal")
    given = await ask(world, ALLOCATE.replace("address type", "id address"), input={"appId": "shop", "type": "v6"})
    await ask(world, RELEASE, input={"ipAddressId": given["ipAddress"]["id"]})
    assert (await rest(world, "GET")).json() == {"ips": []}
    assert (await refused(world, RELEASE, input={"ipAddressId": given["ipAddress"]["id"]}))[1] == "NOT_FOUND"
    assert (await refused(world, RELEASE, input={"ipAddressId": "nonsense"}))[1] == "NOT_FOUND"


async def test_each_address_is_one_apps_alone_and_free_when_the_app_is_gone(world: World) -> None:
    for name in ("one", "two"):
        world.engine.create_app(name, "personal")
    given = [world.engine.addresses.assign(app, {"type": "v4"}).ip for app in ("one", "two", "one")]
    assert given == ["203.0.113.1", "203.0.113.2", "203.0.113.3"]
    await world.engine.delete_app("one")
    assert [one.ip for one in world.engine.store.addresses] == ["203.0.113.2"]
    assert world.engine.addresses.assign("two", {"type": "v4"}).ip == "203.0.113.1"
    for _ in range(252):
        world.engine.addresses.assign("two", {"type": "v4"})
    full = await rest(world, "POST", app="two", json={"type": "v4"})
    assert (full.status_code, "no IPv4 address left" in full.text) == (422, True)


async def test_what_is_no_kind_of_address_and_what_has_no_meaning_here_is_refused(world: World) -> None:
    world.engine.create_app("shop", "personal")
    assert (await rest(world, "POST", json={"type": "v5"})).json()["error"] == "invalid_argument: invalid type: v5"
    assert (await rest(world, "POST", json={})).status_code == 400
    egress = await rest(world, "POST", json={"type": "egress_pair", "region": "iad"})
    assert (egress.status_code, "no egress_pair" in egress.text) == (501, True)
    assert (await rest(world, "POST", app="nowhere", json={"type": "v6"})).status_code == 404


def test_addresses_and_releases_are_on_disk(tmp_path: Any) -> None:
    from reconciler.clock import SystemClock
    from reconciler.engine.addresses import Addresses
    from reconciler.engine.releases import Releases

    store = Store(tmp_path / "engine.db")
    Addresses(store, SystemClock()).assign("shop", {"type": "v6", "service_name": "web"})
    Releases(store, SystemClock()).create("shop", {"image": "i", "definition": {"a": [1]}})
    store.close()
    store = Store(tmp_path / "engine.db")
    assert [one.service_name for one in store.addresses] == ["web"]
    assert [one.definition for one in store.releases] == [{"a": [1]}]
    store.close()
