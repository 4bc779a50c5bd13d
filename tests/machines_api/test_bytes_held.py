"""The bytes that an observation of many machines takes: at most, and for each machine once it is whole."""

import gc
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from sys import getsizeof
from typing import Any, NamedTuple

import httpx
import pytest

from reconciler.machines_api import lists
from reconciler.machines_api.observe import observe
from reconciler.machines_api.wire import Reduce
from reconciler.planner.needs import needs_of
from reconciler.testing.virtual_time import VirtualClock
from tests.support.single_replies import with_client
from tests.support.world import app_spec

NEEDED = needs_of(app_spec("    tasks: {work: {command: [run]}}"))


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
        yield {"name": name, "region": "iad", "state": "stopped", "config": config, "events": events} | ids


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


class Taken(NamedTuple):
    """Bytes that are held by an observation once it is whole, and that it took at most."""

    held: int
    peak: int


def observing(count: int, *, reduce: Mapping[str, Reduce] | None = None, **fleet: Any) -> Taken:
    gc.collect()
    tracemalloc.start()
    try:
        observed = with_client(
            Fleet(count, **fleet), lambda client: observe(client, ["app"], clock=VirtualClock(), reduce=reduce)
        )
        gc.collect()
        taken = Taken(*tracemalloc.get_traced_memory())
        assert len(observed.apps["app"].machines) == count
        return taken
    finally:
        tracemalloc.stop()


def test_of_a_long_list_one_page_is_held_and_of_the_others_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_PAGE", 100)
    as_parsed = sum(map(getsizeof, next(many(1))["config"]["env"].values()))
    growth = (observing(1_200).peak - observing(200).peak) / 1_000
    assert growth < as_parsed


FLEETS = [
    pytest.param({}, id="the stack's own"),
    pytest.param({"stack": "other"}, id="another stack's"),
    pytest.param({"stack": "other", "is_alike": False}, id="another stack's, no two alike"),
]


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_plan_of_a_long_list_takes_little_more_memory_than_one_page(
    monkeypatch: pytest.MonkeyPatch, fleet: dict[str, Any]
) -> None:
    monkeypatch.setattr(lists, "_PAGE", 200)
    one_page, ten_pages = (observing(count, reduce=NEEDED, **fleet).peak for count in (200, 2_000))
    assert ten_pages - one_page < 1_800 * 900
    assert ten_pages < 2 * one_page


# Of each machine its own texts are held (an id, a name, of the stack's own a version: some 200 bytes), one object, its
# metadata as a map, and a small object that shares the rest of its config. That makes 635 and 560 bytes in Python 3.11,
# and less in later ones. One more text for each machine takes 49 bytes at least.
BOUNDS = {"stack": 680, "other": 600}


@pytest.mark.parametrize("fleet", FLEETS)
def test_the_bytes_that_are_held_for_one_machine_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fleet: dict[str, Any]
) -> None:
    caplog.set_level("WARNING", logger="httpx")  # pytest keeps a record of each page
    monkeypatch.setattr(lists, "_PAGE", 50)
    observing(100, reduce=NEEDED, **fleet)  # what is held once for all is there
    few, more = (observing(count, reduce=NEEDED, **fleet).held for count in (200, 400))
    its_name = getsizeof("work-iad-300")
    assert its_name < (more - few) / 200 < BOUNDS[fleet.get("stack", "stack")]
