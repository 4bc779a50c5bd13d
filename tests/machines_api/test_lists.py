"""Lists of machines in pages: what is a whole list, and what a server does that knows no pages."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api import values
from reconciler.machines_api.lists import BrokenListError
from reconciler.machines_api.observe import observe, observe_readable
from reconciler.model.machine import Machine
from reconciler.planner.planner import plan
from reconciler.testing.virtual_time import VirtualClock
from tests.support.single_replies import failure, with_client
from tests.support.world import task_spec

Answer = Callable[[httpx.Request], httpx.Response]
NOT_WHOLE = {
    "a page fails": [["a"], httpx.Response(403, json={"error": "unauthorized"})],
    "a page fails for long": [["a"], *[httpx.Response(502)] * 9],
    "its cursor expired": [["a"], httpx.Response(400, json={"error": "invalid_argument: cursor expired"})],
    "the app is gone": [["a"], httpx.Response(404, json={"error": "app not found"})],
    "a page is no list": [["a"], httpx.Response(200, json={})],
    "a cursor comes again": [["a"], ["b"], ["c"], httpx.Response(200, json=[], headers={"fly-next-cursor": "1"})],
}


def machine(name: str) -> dict[str, Any]:
    return {"id": name, "name": name, "region": "iad", "state": "stopped", "version": "1", "config": {"image": "i"}}


class Pages:
    """Answers one page after the other, each but the last with a cursor; `queries` are what was asked."""

    def __init__(self, *pages: list[str] | httpx.Response, is_last: bool = True) -> None:
        self.pages = pages
        self.is_last = is_last
        self.queries: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.queries.append(dict(request.url.params))
        number = len(self.queries)
        page = self.pages[number - 1]
        if isinstance(page, httpx.Response):
            return page
        more = number < len(self.pages) or not self.is_last
        headers = {"fly-next-cursor": str(number)} if more else {}
        return httpx.Response(200, json=[machine(name) for name in page], headers=headers)


def names(answer: Answer, **options: Any) -> list[str]:
    listed = with_client(answer, lambda client: client.list_machines("app", **options))
    return [machine.name for machine in listed]


def test_pages_are_read_to_the_last_and_a_machine_on_two_of_them_is_one() -> None:
    pages = Pages(["a", "b"], [], ["b", "c"], [])
    assert names(pages, with_destroyed=True, where={"reconciler_pool": "work"}) == ["a", "b", "c"]
    asked = {
        "limit": "1000",
        "include_leases": "true",
        "include_deleted": "true",
        "metadata.reconciler_pool": "work",
    }
    assert pages.queries == [asked, *(asked | {"cursor": cursor} for cursor in "123")]


def test_each_machine_is_parsed_once_those_before_it_are_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def parsed(content: bytes, real: Callable[[bytes], Any] = values.json_of) -> Any:
        done.append("parsed")
        return real(content)

    def reduced(machine: Machine) -> Machine:
        done.append("reduced")
        return machine

    monkeypatch.setattr(values, "json_of", parsed)
    pages = Pages(["a", "b"], ["c", "d"])
    with_client(pages, lambda client: observe(client, ["app"], clock=VirtualClock(), reduce={"app": reduced}))
    assert done == ["parsed", "reduced"] * 4


def test_a_cursor_that_is_not_ascii_is_sent_back_like_any_other() -> None:
    first = httpx.Response(200, json=[machine("a")], headers=[(b"fly-next-cursor", b"caf\xe9")])
    pages = Pages(first, ["b"])
    assert names(pages) == ["a", "b"]
    assert pages.queries[1]["cursor"] == "café"


@pytest.mark.parametrize("pages", NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_a_list_that_breaks_off_is_no_list_and_its_app_is_unobserved(pages: list[Any]) -> None:
    error = failure(Pages(*pages, is_last=False), lambda client: client.list_machines("app"))
    assert isinstance(error, BrokenListError)
    assert error.kind is ApiErrorKind.UNCLEAR
    assert error.message.startswith("the list of app app's machines broke off after ")
    answer = Pages(*pages, is_last=False)
    observed = with_client(answer, lambda client: observe(client, ["app"], clock=VirtualClock()))
    assert observed.apps["app"].machines == ()
    spec = task_spec(count="1")
    [blocked] = plan(spec, observed).blocked
    assert "broke off" in blocked
    answer = Pages(*pages, is_last=False)
    _observed, failures = with_client(
        lambda request: answer(request) if "/app/" in request.url.path else httpx.Response(200, json=[machine("z")]),
        lambda client: observe_readable(client, ["app", "other"], clock=VirtualClock()),
    )
    assert failures.keys() == {"app"}


def test_a_cursor_that_never_ends_is_given_up() -> None:
    count = iter(range(10**6))
    endless = lambda _request: httpx.Response(200, json=[], headers={"fly-next-cursor": str(next(count))})  # noqa: E731
    assert isinstance(failure(endless, lambda client: client.list_machines("app")), BrokenListError)


def test_an_older_server_is_asked_without_what_it_refuses() -> None:
    queries = []

    def strict(request: httpx.Request) -> httpx.Response:
        queries.append(dict(request.url.params))
        if request.url.params:
            return httpx.Response(400, json={"error": "unknown parameter"})
        return httpx.Response(200, json=[machine("a")])

    async def twice(client: Any) -> Any:
        return await client.list_machines("app"), await client.list_machines("app")

    first, second = with_client(strict, twice)
    assert [one.name for one in first] == [one.name for one in second] == ["a"]
    assert queries == [{"limit": "1000", "include_leases": "true"}, {}, {}]


def test_a_server_that_refuses_filters_sends_all() -> None:
    queries = []

    def strict(request: httpx.Request) -> httpx.Response:
        queries.append(dict(request.url.params))
        assert len(queries) < 9
        if request.url.params:
            return httpx.Response(400, json={"error": "unknown parameter"})
        return httpx.Response(200, json=[machine("a")])

    async def twice(client: Any) -> Any:
        where = {"key": "value"}
        return await client.list_machines("app", where=where), await client.list_machines("app", where=where)

    first, second = with_client(strict, twice)
    assert [one.name for one in first] == [one.name for one in second] == ["a"]
    assert queries == [
        {"limit": "1000", "include_leases": "true", "metadata.key": "value"},
        {"metadata.key": "value"},
        {},
        {},
    ]
    queries.clear()

    async def with_destroyed(client: Any) -> Any:
        return await client.list_machines("app", with_destroyed=True)

    with pytest.raises(ApiError):
        with_client(strict, with_destroyed)
    assert queries[-1] == {"include_deleted": "true"}  # without it the list would lack machines


def test_an_app_that_is_not_there_is_none_for_an_older_server_too() -> None:
    def strict(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400 if request.url.params else 404, json={"error": "no"})

    assert with_client(strict, lambda client: client.list_machines("app")) is None


def test_what_is_refused_for_another_reason_is_asked_as_before_the_next_time() -> None:
    queries = []

    def forbids_once(request: httpx.Request) -> httpx.Response:
        queries.append(dict(request.url.params))
        return httpx.Response(403, json={"error": "no"}) if len(queries) == 1 else httpx.Response(200, json=[])

    async def twice(client: Any) -> None:
        with pytest.raises(ApiError):
            await client.list_machines("app")
        await client.list_machines("app")

    with_client(forbids_once, twice)
    assert queries == [{"limit": "1000", "include_leases": "true"}] * 2


@pytest.mark.parametrize("where", [None, {"key": "value"}])
def test_a_server_that_refuses_everything_ends_the_list(where: dict[str, str] | None) -> None:
    answers = iter([httpx.Response(400, json={"error": "no"})] * 3)
    with pytest.raises(ApiError) as failed:
        names(lambda _request: next(answers), with_destroyed=True, where=where)
    assert failed.value.status == 400


def test_apps_that_are_listed_at_once_are_all_asked_again_without_what_is_refused() -> None:
    is_first_listed = asyncio.Event()

    async def strict(request: httpx.Request) -> httpx.Response:
        if request.url.params:
            if "slow" in request.url.path:
                await is_first_listed.wait()
            return httpx.Response(422, json={"error": "unknown parameter"})
        return httpx.Response(200, json=[machine("a")])

    async def both(client: Any) -> Any:
        slow = asyncio.create_task(client.list_machines("slow"))
        first = await client.list_machines("app")
        is_first_listed.set()
        return first, await slow

    assert [[one.name for one in found] for found in with_client(strict, both)] == [["a"], ["a"]]
