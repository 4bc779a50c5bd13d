"""Lists in pages: cursors, their end and their expiry, filters, and what a page may lack."""

from typing import Any

import pytest

from reconciler.engine.faults.settings import Behaviour, Latency, Settings
from tests.support.engine_api import Ask, make, with_api
from tests.support.world import World

SHORT = Settings(behaviour=Behaviour(fills_pages=False))
APPS = "http://127.0.0.1/v1/apps"
NEXT = "fly-next-cursor"


async def pages_of(ask: Ask, path: str, limit: int, **query: Any) -> list[list[str]]:
    """The names on each page, until one comes without a cursor."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while cursor is not None or not pages:
        more = {"cursor": cursor} if cursor else {}
        reply = await ask("GET", path, params={"limit": limit, **query, **more})
        assert reply.status_code == 200, reply.text
        pages.append([one["name"] for one in reply.json()])
        cursor = reply.headers.get(NEXT)
    return pages


async def make_several(ask: Ask, count: int) -> None:
    for number in range(count):
        await make(ask, "x", name=f"m{number}", metadata={"odd": str(number % 2), "low": str(number < 3)})


async def test_a_list_comes_whole_without_a_limit_and_page_by_page_with_one(world: World, ask: Ask) -> None:
    await make_several(ask, 5)
    whole = await ask("GET", "/machines")
    assert len(whole.json()) == 5
    assert NEXT not in whole.headers
    for limit, sizes in ((2, [2, 2, 1]), (5, [5]), (1000, [5])):
        pages = await pages_of(ask, "/machines", limit)
        assert [len(page) for page in pages] == sizes
        assert sorted(name for page in pages for name in page) == [f"m{number}" for number in range(5)]
    world.add_volumes("one", "two")
    assert [len(page) for page in await pages_of(ask, "/volumes", 1, summary="true")] == [1, 1]


@pytest.mark.world(SHORT)
async def test_pages_may_be_short_or_empty_and_the_list_is_whole_all_the_same(ask: Ask) -> None:
    await make_several(ask, 5)
    pages = await pages_of(ask, "/machines", 4)
    assert [len(page) for page in pages] == [2, 0, 2, 0, 1]
    assert sorted(name for page in pages for name in page) == [f"m{number}" for number in range(5)]


async def test_a_machine_that_goes_between_two_pages_moves_no_other(world: World, ask: Ask) -> None:
    await make_several(ask, 4)
    await world.context.clock.sleep(1)
    first = await ask("GET", "/machines?limit=2")
    await ask("DELETE", f"/machines/{first.json()[0]['id']}?force=true")
    await world.context.clock.sleep(1)
    second = await ask("GET", "/machines", params={"limit": 2, "cursor": first.headers[NEXT]})
    assert len({one["name"] for reply in (first, second) for one in reply.json()}) == 4


async def test_all_filters_of_metadata_have_to_match(ask: Ask) -> None:
    await make_several(ask, 5)
    [odd] = await pages_of(ask, "/machines", 9, **{"metadata.odd": "1"})
    assert sorted(odd) == ["m1", "m3"]
    assert await pages_of(ask, "/machines", 9, **{"metadata.odd": "1", "metadata.low": "True"}) == [["m1"]]
    assert await pages_of(ask, "/machines", 1, **{"metadata.odd": "2"}) == [[]]
    twice = await ask("GET", "/machines?metadata.odd=1&metadata.odd=0")
    assert twice.json() == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=abc", "limit=1&cursor=abc"])
async def test_odd_limits_and_cursors_are_refused(ask: Ask, query: str) -> None:
    assert (await ask("GET", f"/machines?{query}")).status_code == 400
    assert (await ask("GET", f"/volumes?{query}")).status_code == 400


async def test_a_cursor_expires_half_an_hour_after_the_first_page(world: World, ask: Ask) -> None:
    await make_several(ask, 3)
    first = await ask("GET", "/machines?limit=1")
    await world.context.clock.sleep(29 * 60)
    second = await ask("GET", "/machines", params={"limit": 1, "cursor": first.headers[NEXT]})
    assert second.status_code == 200
    await world.context.clock.sleep(2 * 60)
    third = await ask("GET", "/machines", params={"limit": 1, "cursor": second.headers[NEXT]})
    assert (third.status_code, "expired" in third.json()["error"]) == (400, True)


def test_apps_come_in_pages_that_lack_those_made_a_moment_ago() -> None:
    async def scenario(world: World, ask: Ask) -> None:
        async def apps(**query: Any) -> dict[str, Any]:
            return dict((await ask("GET", APPS, params={"org_slug": "personal", **query})).json())

        for number in range(2):
            world.engine.create_app(f"app-{number}", "personal")
        await world.context.clock.sleep(10)
        world.engine.create_app("newest", "personal")
        whole = await apps()
        assert (whole["total_apps"], len(whole["apps"]), "next_cursor" in whole) == (4, 4, False)
        first = await apps(limit=2)
        second = await apps(limit=2, cursor=first["next_cursor"])
        assert [one["name"] for one in first["apps"] + second["apps"]] == ["app", "app-0", "app-1"]
        assert (first["total_apps"], second["total_apps"]) == (4, 4)
        assert "next_cursor" not in second

    with_api(scenario, Settings(latency=Latency(app_list_lag_s=3)))
