"""The GraphQL queries that Fly's own client makes, and the members that it reads."""

from typing import Any

import httpx
import pytest

from tests.support.flyctl_api import at_root, rfc3339
from tests.support.graphql import ask, raw, refused
from tests.support.world import World

CONFIG = {"image": "registry.example/app:1", "init": {"cmd": ["run", "1000"]}, "restart": {"policy": "no"}}


async def made(world: World, name: str = "shop", org: str = "personal") -> None:
    world.engine.create_app(name, org)


APP = "query ($name: String!) {{ app(name: $name) {{ {} }} }}"


async def test_most_commands_ask_for_the_app_first(world: World) -> None:
    await made(world)
    plain = "id name status deployed network platformVersion hostname appUrl cnameTarget internalNumericId"
    found = await ask(world, APP.format(plain + " role { name } organization { slug paidPlan }"), name="shop")
    assert found == {
        "id": "shop",
        "name": "shop",
        "status": "pending",
        "deployed": False,
        "network": "default",
        "platformVersion": "machines",
        "hostname": "",
        "appUrl": None,
        "cnameTarget": "",
        "internalNumericId": 0,
        "role": None,
        "organization": {"slug": "personal", "paidPlan": True},
    }


async def test_an_answer_has_the_names_that_were_asked_for(world: World) -> None:
    await made(world)
    reply = await raw(world, '{ appbasic: app(name: "shop") { kind: role { name } __typename } }')
    assert reply.json() == {"data": {"appbasic": {"kind": None, "__typename": None}}}


async def test_an_app_that_is_not_there_is_told_in_the_words_that_offer_to_make_it(world: World) -> None:
    assert await refused(world, APP.format("id"), name="nowhere") == ("Could not find App", "NOT_FOUND")


async def test_apps_list_pages_and_says_what_was_deployed_last(world: World) -> None:
    await made(world)
    await made(world, "other", "acme")
    world.engine.releases.create("shop", {"image": "i:1", "strategy": "ROLLING"})
    listed = """query ($org: ID) { apps(type: "container", first: 200, organizationId: $org) {
        nodes { name currentRelease { status createdAt } } pageInfo { hasNextPage endCursor } } }"""
    found = await ask(world, listed)
    assert found["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert [one["name"] for one in found["nodes"]] == ["shop", "other"]
    assert found["nodes"][1]["currentRelease"] is None
    assert found["nodes"][0]["currentRelease"]["status"] == "pending"
    rfc3339(found["nodes"][0]["currentRelease"]["createdAt"])
    assert [one["name"] for one in (await ask(world, listed, org="acme"))["nodes"]] == ["other"]


async def test_an_image_is_named_as_it_was_so_that_a_container_engine_can_pull_it(world: World) -> None:
    await made(world)
    asked = """query ($of: String!) { app(name: "shop") {
        image(ref: $of) { ref digest size: compressedSizeFull manifest } } }"""
    found = (await ask(world, asked, of="nginx:1"))["image"]
    assert found == {"ref": "nginx:1", "digest": "", "size": "0", "manifest": None}
    found = (await ask(world, asked, of="nginx:1@sha256:ab"))["image"]
    assert (found["ref"], found["digest"]) == ("nginx:1", "sha256:ab")


async def test_organizations_are_the_personal_one_and_those_of_apps(world: World) -> None:
    await made(world, org="acme")
    nodes = (await ask(world, "{ organizations(admin: false) { nodes { slug type viewerRole } } }"))["nodes"]
    assert [(one["slug"], one["type"]) for one in nodes] == [("acme", "SHARED"), ("personal", "PERSONAL")]
    one = "query ($slug: String!) { organization(slug: $slug) { id rawSlug members { edges { node { email } } } } }"
    assert (await ask(world, one, slug="acme"))["id"] == "acme"
    assert await refused(world, one, slug="nobody") == ("Could not find Organization", "NOT_FOUND")


async def test_whoami_regions_and_the_nearest_one(world: World) -> None:
    asked = "{ viewer { ... on User { id email } ... on Macaroon { email } } }"
    assert (await ask(world, asked))["email"] == "local-engine@localhost"
    found = await ask(world, "{ platform { requestRegion regions { code gatewayAvailable } } }")
    assert found["requestRegion"] in [one["code"] for one in found["regions"]]
    assert (await ask(world, "{ nearestRegion { code } }"))["code"] == found["requestRegion"]


async def test_a_command_on_a_machine_or_a_volume_alone_asks_for_its_app(world: World) -> None:
    await made(world)
    machine = world.engine.create("shop", {"config": CONFIG, "skip_launch": True})
    world.add_volumes("vol_1", app="shop")
    of_machine = "query ($of: String!) { machine(machineId: $of) { name app { name organization { slug } } } }"
    found = await ask(world, of_machine, of=machine.id)
    assert found == {"name": machine.name, "app": {"name": "shop", "organization": {"slug": "personal"}}}
    of_volume = "query ($of: ID!) { volume(id: $of) { ... on Volume { state app { name } } } }"
    assert await ask(world, of_volume, of="vol_1") == {"state": "created", "app": {"name": "shop"}}
    assert (await refused(world, of_volume, of="vol_2"))[0] == "Could not find Volume"


async def test_a_blue_green_deploy_is_allowed_for_each_app_that_is_there(world: World) -> None:
    await made(world)
    asked = "query ($of: String!) { canPerformBluegreenDeployment(name: $of) }"
    assert await ask(world, asked, of="shop") is True
    assert (await refused(world, asked, of="nowhere"))[0] == "Could not find App"


async def test_status_is_told_that_there_is_no_newer_image(world: World) -> None:
    asked = 'query { latestImageDetails(image: "app:1") { tag digest } }'
    assert (await refused(world, asked))[0] == "Unknown repository 'app:1'"


SECRETS = (
    "mutation ($input: Input!) {{ {}(input: $input) {{ app {{ name }} release {{ version user {{ email }} }} }} }}"
)


async def test_secrets_are_set_and_unset_as_older_clients_do_it(world: World) -> None:
    await made(world)
    world.engine.secrets.set("shop", {"OLD": "1"})
    pairs = [{"key": "A", "value": "a"}, {"key": "B", "value": "b"}]
    found = await ask(world, SECRETS.format("setSecrets"), input={"appId": "shop", "secrets": pairs})
    assert found == {"app": {"name": "shop"}, "release": None}
    assert [one.name for one in world.engine.secrets.of("shop")] == ["A", "B", "OLD"]
    world.engine.releases.create("shop", {"image": "i:1"})
    every = {"appId": "shop", "secrets": pairs[:1], "replaceAll": True}
    found = await ask(world, SECRETS.format("setSecrets"), input=every)
    assert found["release"]["version"] == 1
    assert [(one.name, one.value) for one in world.engine.secrets.of("shop")] == [("A", "a")]
    await ask(world, SECRETS.format("unsetSecrets"), input={"appId": "shop", "keys": ["A", "NEVER"]})
    assert world.engine.secrets.of("shop") == []


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("setSecrets", {"appId": "nowhere", "secrets": []}, "app not found"),
        ("setSecrets", {"appId": "shop", "secrets": {"A": "a"}}, "secrets is required"),
        ("setSecrets", {"appId": "shop", "secrets": [{"value": "a"}]}, "secrets is required"),
        (
            "setSecrets",
            {"appId": "shop", "secrets": [{"key": "9", "value": "a"}]},
            "invalid_argument: invalid secret name: 9",
        ),
        ("unsetSecrets", {"appId": "shop", "keys": "A"}, "keys is required"),
    ],
)
async def test_secrets_that_are_no_secrets_are_refused(world: World, name: str, given: Any, text: str) -> None:
    await made(world)
    assert (await refused(world, SECRETS.format(name), input=given))[0].startswith(text)
    assert world.engine.secrets.version("shop") == 0


async def test_what_is_not_in_the_table_is_named_and_not_answered_emptily(world: World) -> None:
    await made(world)
    assert (await refused(world, "{ addOns { nodes { id } } }"))[0] == "the local engine has no query 'addOns'"
    text, code = await refused(world, 'mutation { moveApp(input: {appId: "shop"}) { app { id } } }')
    assert (text, code) == ("the local engine has no mutation 'moveApp'", "UNKNOWN_QUERY")
    text, code = await refused(world, '{ app(name: "shop") { id certificates { nodes { id } } } }')
    assert (text, code) == ("the local engine has no app.certificates", "UNKNOWN_FIELD")
    assert (await refused(world, "{ app("))[1] == "GRAPHQL_PARSE_FAILED"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ('{ app(name: "shop") }', "say which fields of app are wanted"),
        ('{ app(name: "shop") { machines { nodes } } }', "say which fields of app.machines.nodes are wanted"),
        ("{ apps }", "say which fields of apps are wanted"),
        ("{ app(name: []) { id } }", "name must be a string"),
        ("{ appNameAvailable(name: {a: 1}) }", "name must be a string"),
        ("{ apps(organizationId: [1]) { nodes { id } } }", "organizationId must be a string"),
        ("{ organization(slug: 1) { id } }", "slug must be a string"),
        (f"{{ machine(id: {'1' * 5000}) {{ id }} }}", "a number has too many digits"),
        ("{ machine(id: 1e999) { id } }", "1e999 is too large a number"),
    ],
)
async def test_what_is_asked_in_an_odd_shape_is_refused_in_words(world: World, asked: str, why: str) -> None:
    await made(world)
    world.engine.create("shop", {"config": CONFIG, "skip_launch": True})
    assert (await refused(world, asked))[0] == why


async def test_the_name_of_an_operation_is_text(world: World) -> None:
    reply = await at_root(world, "POST", "/graphql", json={"query": "{ viewer { id } }", "operationName": []})
    assert reply.json()["errors"][0]["message"] == "operationName must be a string"


async def test_a_limit_of_thousands_of_digits_is_refused(world: World) -> None:
    await made(world)
    assert (await at_root(world, "GET", f"/api/v1/apps/shop/releases?limit={'9' * 5000}")).status_code == 400


@pytest.mark.parametrize("body", [{}, {"query": 1}, {"query": "{ viewer { id } }", "variables": [1]}])
async def test_a_body_without_a_query_is_refused(world: World, body: Any) -> None:
    reply = await at_root(world, "POST", "/graphql", json=body)
    assert "query is required" in reply.json()["errors"][0]["message"]


async def test_graphql_wants_the_token_too(world: World) -> None:
    async with httpx.AsyncClient(transport=world.transport, base_url="http://127.0.0.1") as http:
        assert (await http.post("/graphql", json={"query": "{ viewer { id } }"})).status_code == 401
