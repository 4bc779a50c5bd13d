"""The GraphQL queries that Fly's own client makes, in its own shapes, and the members that it reads."""

from typing import Any

import httpx
import pytest

from tests.engine.http.test_flyctl import at_root, rfc3339
from tests.support.world import World

CONFIG = {"image": "registry.example/app:1", "init": {"cmd": ["run", "1000"]}, "restart": {"policy": "no"}}


async def raw(world: World, query: str, **variables: Any) -> httpx.Response:
    return await at_root(world, "POST", "/graphql", json={"query": query, "variables": variables})


async def ask(world: World, query: str, **variables: Any) -> Any:
    reply = await raw(world, query, **variables)
    assert reply.status_code == 200, reply.text
    assert "errors" not in reply.json(), reply.text
    return reply.json()["data"]


async def refused(world: World, query: str, **variables: Any) -> tuple[str, str]:
    """The message and the code of the error."""
    [error] = (await raw(world, query, **variables)).json()["errors"]
    return error["message"], error["extensions"].get("code", "")


async def made(world: World, name: str = "shop", org: str = "personal") -> None:
    world.engine.create_app(name, org)


async def test_most_commands_ask_for_the_app_first(world: World) -> None:
    await made(world)
    fields = "id internalNumericId name hostname cnameTarget deployed network status appUrl platformVersion"
    query = f"""query ($appName: String!) {{ appcompact:app(name: $appName) {{ {fields}
        organization {{ id internalNumericId slug paidPlan }} postgresAppRole: role {{ name }} }} }}"""
    found = (await ask(world, query, appName="shop"))["appcompact"]
    assert (found["id"], found["name"], found["status"], found["deployed"]) == ("shop", "shop", "pending", False)
    assert found["organization"] == {"id": "personal", "internalNumericId": "0", "slug": "personal", "paidPlan": True}
    assert (found["platformVersion"], found["postgresAppRole"]) == ("machines", None)
    basic = "query ($appName: String!) { appbasic:app(name: $appName) { id name organization { rawSlug } } }"
    assert (await ask(world, basic, appName="shop"))["appbasic"]["organization"] == {"rawSlug": "personal"}
    network = await ask(world, "query ($appName: String!) { app(name: $appName) { network } }", appName="shop")
    assert network == {"app": {"network": "default"}}


async def test_an_app_that_is_not_there_is_told_in_the_words_that_offer_to_make_it(world: World) -> None:
    query = "query ($appName: String!) { appcompact:app(name: $appName) { id } }"
    assert await refused(world, query, appName="nowhere") == ("Could not find App", "NOT_FOUND")


async def test_apps_list_pages_and_says_what_was_deployed_last(world: World) -> None:
    await made(world)
    await made(world, "other", "acme")
    world.engine.releases.create("shop", {"image": "i:1", "strategy": "ROLLING"})
    query = """query($org: ID, $after: String) {
        apps(type: "container", first: 200, after: $after, organizationId: $org) { pageInfo { hasNextPage endCursor }
        nodes { id name deployed hostname platformVersion network organization { slug name }
        currentRelease { createdAt status } status } } }"""
    found = (await ask(world, query))["apps"]
    assert found["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert [one["name"] for one in found["nodes"]] == ["shop", "other"]
    assert found["nodes"][1]["currentRelease"] is None
    assert found["nodes"][0]["currentRelease"]["status"] == "pending"
    rfc3339(found["nodes"][0]["currentRelease"]["createdAt"])
    found = (await ask(world, query, org="acme"))["apps"]
    assert [one["name"] for one in found["nodes"]] == ["other"]


async def test_an_image_is_named_as_it_was_so_that_a_container_engine_can_pull_it(world: World) -> None:
    await made(world)
    query = """query ($appName: String!, $imageRef: String!) { app(name: $appName) { id
        image(ref: $imageRef) { id digest ref compressedSize: compressedSizeFull manifest } } }"""
    found = (await ask(world, query, appName="shop", imageRef="nginx:1"))["app"]["image"]
    assert found == {"id": "nginx:1", "digest": "", "ref": "nginx:1", "compressedSize": "0", "manifest": None}
    found = (await ask(world, query, appName="shop", imageRef="nginx:1@sha256:ab"))["app"]["image"]
    assert (found["ref"], found["digest"]) == ("nginx:1", "sha256:ab")


async def test_organizations_are_the_personal_one_and_those_of_apps(world: World) -> None:
    await made(world, org="acme")
    query = """query($admin: Boolean!) { organizations(admin: $admin) { nodes { id slug rawSlug name type paidPlan
        billable viewerRole internalNumericId } } }"""
    nodes = (await ask(world, query, admin=False))["organizations"]["nodes"]
    assert [(one["slug"], one["type"]) for one in nodes] == [("acme", "SHARED"), ("personal", "PERSONAL")]
    one = "query($slug: String!) { organization(slug: $slug) { id internalNumericId slug rawSlug name type billable } }"
    assert (await ask(world, one, slug="acme"))["organization"]["id"] == "acme"
    assert await refused(world, one, slug="nobody") == ("Could not find Organization", "NOT_FOUND")


async def test_whoami_regions_and_the_nearest_one(world: World) -> None:
    query = "query { viewer { ... on User { id email enablePaidHobby } ... on Macaroon { email } } }"
    assert (await ask(world, query))["viewer"]["email"] == "local-engine@localhost"
    query = "query { platform { requestRegion regions { name code latitude longitude gatewayAvailable deprecated } } }"
    found = (await ask(world, query))["platform"]
    assert found["requestRegion"] in [one["code"] for one in found["regions"]]
    assert (await ask(world, "{ nearestRegion { code name } }"))["nearestRegion"]["code"] == found["requestRegion"]


async def test_a_command_on_a_machine_or_a_volume_alone_asks_for_its_app(world: World) -> None:
    await made(world)
    machine = world.engine.create("shop", {"config": CONFIG, "skip_launch": True})
    world.add_volumes("vol_1", app="shop")
    query = """query ($machineId: String!) { gqlmachine:machine(machineId: $machineId) { id name
        app { name organization { id slug } } } }"""
    found = (await ask(world, query, machineId=machine.id))["gqlmachine"]
    assert found["app"] == {"name": "shop", "organization": {"id": "personal", "slug": "personal"}}
    query = "query($id: ID!) { volume: volume(id: $id) { ... on Volume { app { name } state } } }"
    assert await ask(world, query, id="vol_1") == {"volume": {"app": {"name": "shop"}, "state": "created"}}
    assert (await refused(world, query, id="vol_2"))[0] == "Could not find Volume"


async def test_status_is_told_that_there_is_no_newer_image(world: World) -> None:
    query = """query($image: String!, $flyVersion: String) { latestImageDetails(image: $image, flyVersion: $flyVersion)
        { registry repository tag version digest } }"""
    assert (await refused(world, query, image="app:1", flyVersion=""))[0] == "Unknown repository 'app:1'"


async def test_what_is_not_in_the_table_is_named_and_not_answered_emptily(world: World) -> None:
    await made(world)
    assert (await refused(world, "{ addOns { nodes { id } } }"))[0] == "the local engine has no query 'addOns'"
    text, code = await refused(world, 'mutation { moveApp(input: {appId: "shop"}) { app { id } } }')
    assert (text, code) == ("the local engine has no mutation 'moveApp'", "UNKNOWN_QUERY")
    text, code = await refused(world, '{ app(name: "shop") { id certificates { nodes { id } } } }')
    assert (text, code) == ("the local engine has no app.certificates", "UNKNOWN_FIELD")
    assert (await refused(world, "{ app("))[1] == "GRAPHQL_PARSE_FAILED"


@pytest.mark.parametrize("body", [{}, {"query": 1}, {"query": "{ viewer { id } }", "variables": [1]}])
async def test_a_body_without_a_query_is_refused(world: World, body: Any) -> None:
    reply = await at_root(world, "POST", "/graphql", json=body)
    assert "query is required" in reply.json()["errors"][0]["message"]


async def test_graphql_wants_the_token_too(world: World) -> None:
    async with httpx.AsyncClient(transport=world.transport, base_url="http://127.0.0.1") as http:
        assert (await http.post("/graphql", json={"query": "{ viewer { id } }"})).status_code == 401
