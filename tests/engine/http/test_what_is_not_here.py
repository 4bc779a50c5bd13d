"""Parts of the platform that the engine has not: a client reads that there are none, and a change says so."""

import pytest

from tests.support.flyctl_api import at_root
from tests.support.world import World

NONE = {
    "certificates": {"certificates": [], "next_cursor": "", "total_count": 0},
    "secretkeys": {"secret_keys": []},
    "network_policies": [],
}


@pytest.mark.parametrize("part", NONE)
async def test_a_list_of_what_is_not_here_is_empty_and_one_of_it_is_not_found(world: World, part: str) -> None:
    world.engine.create_app("shop", "personal")
    listed = await at_root(world, "GET", f"/v1/apps/shop/{part}")
    assert (listed.status_code, listed.json()) == (200, NONE[part])
    one = await at_root(world, "GET", f"/v1/apps/shop/{part}/one")
    assert (one.status_code, one.json()) == (404, {"error": "one not found"})
    assert (await at_root(world, "GET", f"/v1/apps/nowhere/{part}")).json() == {"error": "app not found"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "certificates/acme"),
        ("DELETE", "certificates/one"),
        ("POST", "secretkeys/one"),
        ("POST", "network_policies"),
        ("DELETE", "network_policies/one"),
    ],
)
async def test_a_change_of_what_is_not_here_is_refused_by_name(world: World, method: str, path: str) -> None:
    world.engine.create_app("shop", "personal")
    refused = await at_root(world, method, f"/v1/apps/shop/{path}", json={} if method == "POST" else None)
    assert refused.status_code == 501
    assert f"the local engine has nothing for {method} /v1/apps/shop/{path}" in refused.json()["error"]
