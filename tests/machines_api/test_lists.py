"""Lists of machines in pages: what is a whole list, and what a server does that knows no pages."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Iterator
from sys import getsizeof
from typing import Any

import httpx
import pytest

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api import lists
from reconciler.machines_api.lists import BrokenListError
from reconciler.machines_api.observe import observe, observe_readable
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import plan
from reconciler.testing.virtual_time import VirtualClock
from tests.support.single_replies import failure, with_client
from tests.support.world import app_spec, task_spec

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


def many(count: int, *, stack: str = "stack", is_alike: bool = True) -> Iterator[dict[str, Any]]:
    """Machines of a task as they are listed, each with a config of its own objects and its five newest events."""
    for number in range(count):
        name = f"work-iad-{number}"
        marks = {"stack": stack, "pool": "work", "kind": "task", "slot": name, "applied": "1:" + "0" * 20}
        run_record = f"{number:026};{number:026};someone on a computer whose name is long"
        env = {} if is_alike else {"NUMBER": str(number)}
        config = {
            "image": "registry.example/app:1",
            "env": env | {f"VARIABLE_{one}": "some value that is not short " * 4 for one in range(20)},
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "metadata": {f"reconciler_{key}": value for key, value in marks.items()}
            | {"reconciler_attempt": f"{number:026}", "reconciler_r0": run_record},
        }
        events = [
            {"id": f"{number:020}{event:06}", "type": kind, "status": "stopped", "source": "flyd", "timestamp": number}
            for event, kind in enumerate(("exit", "start", "exit", "start", "launch"))
        ]
        ids = {"id": f"{number:014x}", "version": f"{number:026}"}
        yield machine(name) | ids | {"config": config, "events": events}


class Fleet:
    """A server with `count` machines, made page by page."""

    def __init__(self, count: int, **options: Any) -> None:
        self.machines = many(count, **options)
        self.left = count

    def __call__(self, request: httpx.Request) -> httpx.Response:
        page = [next(self.machines) for _ in range(min(self.left, int(request.url.params["limit"])))]
        self.left -= len(page)
        headers = {"fly-next-cursor": str(self.left)} if self.left else {}
        return httpx.Response(200, content=json.dumps(page), headers=headers)


def peak_of(answer: Answer, count: int, **options: Any) -> int:
    """The bytes that an observation takes at most."""
    tracemalloc.start()
    try:
        observed = with_client(answer, lambda client: observe(client, ["app"], clock=VirtualClock(), **options))
        assert len(observed.apps["app"].machines) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_of_a_long_list_one_page_is_held_and_of_the_others_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_PAGE", 100)
    as_parsed = sum(map(getsizeof, next(many(1))["config"]["env"].values()))
    growth = (peak_of(Fleet(1_200), 1_200) - peak_of(Fleet(200), 200)) / 1_000
    assert growth < as_parsed


@pytest.mark.parametrize(
    "fleet",
    [
        pytest.param({}, id="the stack's own"),
        pytest.param({"stack": "other"}, id="another stack's"),
        pytest.param({"stack": "other", "is_alike": False}, id="another stack's, no two alike"),
    ],
)
def test_a_plan_of_a_long_list_takes_little_more_memory_than_one_page(
    monkeypatch: pytest.MonkeyPatch, fleet: dict[str, Any]
) -> None:
    monkeypatch.setattr(lists, "_PAGE", 200)
    reduce = needs_of(app_spec("    tasks: {work: {command: [run]}}"))
    one_page, ten_pages = (peak_of(Fleet(count, **fleet), count, reduce=reduce) for count in (200, 2_000))
    assert ten_pages - one_page < 1_800 * 800
    assert ten_pages < 2 * one_page
