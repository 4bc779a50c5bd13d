"""An organisation's pages of machines: all of them, or none."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.http import httpx
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.organization import Overview, overview
from reconciler.model.secret import Secret
from reconciler.testing.virtual_time import VirtualClock, run_virtually


def machine(number: int, app: str = "a", **more: Any) -> dict[str, Any]:
    config = {"image": "i", "metadata": {"k": "v"}}
    told = {"id": f"m{number}", "app_name": app, "name": f"n{number}", "state": "stopped", "region": "iad"}
    return {**told, "instance_id": f"v{number}", "config": config, **more}


class Server:
    """Answers each cursor with its page, and notes which were asked for."""

    def __init__(self, pages: dict[str, Any]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        place = f"{request.url.path.split('/')[3]}:{request.url.params.get('cursor', '')}"
        self.asked.append(place)
        page = self.pages[place]
        if isinstance(page, httpx.Response):
            return page
        return httpx.Response(200, content=page if isinstance(page, bytes) else json.dumps(page).encode())


def seen(
    server: Callable[[httpx.Request], Any], apps: str = "ab", orgs: tuple[str, ...] = ("o",), most_pages: int = 5
) -> Overview:
    async def run() -> Overview:
        transport = httpx.MockTransport(server)
        async with MachinesClient(
            base_url="https://api.example", token=Secret("hush"), clock=VirtualClock(), transport=transport
        ) as client:
            return await overview(client, apps, orgs, most_pages=most_pages)

    return run_virtually(run())


def test_all_pages_are_read_even_behind_an_empty_one() -> None:
    pages = {
        "o:": {"machines": [machine(1), machine(2, "other")], "next_cursor": "x"},
        "o:x": {"machines": [], "next_cursor": "y"},
        "o:y": {"machines": [machine(3), machine(4, "b", instance_id="", version="v9")], "next_cursor": ""},
    }
    found = seen(Server(pages))
    assert found.pages == 3
    assert found.machines is not None
    assert {app: [one.id for one in machines] for app, machines in found.machines.items()} == {
        "a": ["m1", "m3"],
        "b": ["m4"],
    }
    [last] = found.machines["b"]
    assert (last.instance_id, last.name, dict(last.metadata)) == ("v9", "n4", {"k": "v"})


def test_each_organisation_is_asked_once_and_its_pages_count_together() -> None:
    pages = {"o:": {"machines": [machine(1)]}, "p:": {"machines": [machine(2)]}}
    server = Server(pages)
    found = seen(server, orgs=("p", "o", "o"))
    assert (server.asked, found.pages) == (["o:", "p:"], 2)
    assert found.machines is not None
    assert [one.id for one in found.machines["a"]] == ["m1", "m2"]
    assert seen(Server(pages), orgs=("p", "o"), most_pages=1).machines is None


WHOLE = {"machines": [machine(1)], "next_cursor": "x"}
REFUSED = {
    "a region that did not answer": {"machines": [], "error_regions": ["iad"]},
    "a cursor that comes again": {"machines": [], "next_cursor": "x"},
    "a machine of no app": {"machines": [machine(1, "")]},
    "no machines at all": {"next_cursor": ""},
    "a list": [],
    "null": None,
    "a cursor that is a number": {"machines": [], "next_cursor": 7},
    "half an answer": b'{"machines": [',
    "HTML": b"<html>",
    "403": httpx.Response(403, json={"error": "unauthorized"}),
    "404": httpx.Response(404, json={"error": "not found"}),
    "500": httpx.Response(500, json={"error": "oops"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_answer_that_is_not_whole_is_none(what: str) -> None:
    assert seen(Server({"o:": REFUSED[what], "o:x": REFUSED[what]})).machines is None
    server = Server({"o:": WHOLE, "o:x": REFUSED[what]})
    assert seen(server) == Overview(machines=None, pages=2)
    assert server.asked == ["o:", "o:x"]


def test_a_slow_server_is_not_waited_for_for_long() -> None:
    asked = []

    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(9)
        asked.append(request)
        return httpx.Response(200, json={"machines": [], "next_cursor": str(len(asked))})

    assert seen(slowly, most_pages=100).machines is None
    assert len(asked) == 3


def test_pages_have_an_end() -> None:
    pages = {f"o:{number or ''}": {"machines": [], "next_cursor": str(number + 1)} for number in range(10)}
    server = Server(pages)
    assert seen(server, most_pages=4) == Overview(machines=None, pages=4)
    assert len(server.asked) == 4
