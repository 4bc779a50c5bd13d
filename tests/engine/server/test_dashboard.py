"""The dashboard: who may see it, and its event stream."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.errors import EngineStartError
from reconciler.engine.server.daemon import EngineStatus, read_token, start_engine, stop_engine
from reconciler.engine.server.dashboard import dashboard_page, stream_events
from reconciler.engine.server.open_page import write_redirect_page
from tests.support.world import World

pytestmark = pytest.mark.slow

Lines = AsyncIterator[dict[str, Any]]


@pytest.fixture
def lines(world: World, virtual_time: asyncio.Runner) -> Lines:
    """What the page is told of the world."""

    async def begin() -> Lines:
        world.engine.create_app("app", "personal")
        return told(world)

    return virtual_time.run(begin())


async def told(world: World) -> Lines:
    async for text in stream_events(world.engine):
        for line in text.splitlines():
            yield json.loads(line) if line else {}


async def until(lines: Lines, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    async for line in lines:
        if holds(line):
            return line
    raise AssertionError("it has ended")


def machine(world: World, *words: str, **config: Any) -> str:
    body = {"image": "i", "init": {"cmd": list(words)}, "restart": {"policy": "no"}} | config
    return world.engine.create("app", {"name": "m", "config": body}).id


async def test_first_all_machines_then_each_change_and_each_line(world: World, lines: Lines) -> None:
    first = machine(world, "run", "10", "say", "hello", "exit", "3")
    assert (await anext(lines))["machine"]["id"] == first
    assert await anext(lines) == {"ready": True}
    line = await until(lines, lambda one: one.get("machine", {}).get("state") == "started")
    assert line["machine"]["events"][0]["type"] == "start"
    seen = [line := await anext(lines)]
    while "log" not in line or "machine" not in seen[-2]:
        seen.append(line := await anext(lines))
    assert line["log"] | {"at_ms": 0, "number": 0} == {
        "machine": first,
        "number": 0,
        "stream": "stdout",
        "at_ms": 0,
        "message": "hello",
    }
    states = [one["machine"]["state"] for one in seen if "machine" in one]
    assert states[-1] == "stopped"


SECRETS = {
    "env": {"A": "canary", "LEVEL": "canary"},
    "files": [{"guest_path": "/f", "raw_value": "canary"}],
    "metadata": {"m": "canary"},
    "processes": [{"exec": ["run", "1"], "env": {"A": "canary"}, "unknown": ["canary"]}],
    "checks": {"up": {"type": "http", "port": 1, "headers": [{"name": "Authorization", "values": ["canary"]}]}},
    "services": [{"ports": [{"http_options": {"response": {"headers": {"X-Key": ["canary", {"a": "canary"}]}}}}]}],
    "containers": [{"name": "c", "image": "i", "env": {"A": "canary"}, "files": [{"raw_value": "canary"}]}],
    "of a later version": {"password": "canary", "pin": 1234567},
}


@pytest.mark.parametrize("section", SECRETS)
async def test_no_value_that_may_be_secret_is_told(world: World, lines: Lines, section: str) -> None:
    value = SECRETS[section] if section != "files" else [{"guest_path": "/f", "raw_value": "Y2FuYXJ5"}]
    machine(world, "run", "1", **{section: value})
    said = [await anext(lines)]
    while "stopped" not in json.dumps(said[-1].get("machine", {}).get("state", "")):
        said.append(await anext(lines))
    assert not [word for word in ("canary", "Y2FuYXJ5", "1234567") if word in json.dumps(said)]
    shown = said[0]["machine"]["config"]
    assert "***" in json.dumps(shown[section])
    assert shown["restart"] == {"policy": "no"}


@pytest.mark.parametrize(
    ("metadata", "pool", "kind"),
    [
        ({"reconciler_pool": "web", "reconciler_kind": "service", "fly_process_group": "app"}, "web", "service"),
        ({"reconciler_pool": "web"}, "web", "pool"),
        ({"fly_process_group": "app"}, "app", "process group"),
        ({"fly_process_group": ""}, "", ""),
        (None, "", ""),
    ],
)
async def test_the_pool_is_ours_else_that_of_flyctl(
    world: World, lines: Lines, metadata: dict[str, str] | None, pool: str, kind: str
) -> None:
    machine(world, "run", "1", metadata=metadata)
    shown = (await anext(lines))["machine"]
    assert (shown["pool"], shown["kind"]) == (pool, kind)


async def test_each_start_is_a_run_with_its_end(world: World, lines: Lines) -> None:
    made = machine(world, "exit", "3", restart={"policy": "on-failure", "max_retries": 1})
    await until(lines, lambda one: one.get("machine", {}).get("state") == "stopped")
    await world.context.clock.sleep(60)
    world.runtime.script(("run", "1000"))
    await world.engine.start_machine("app", made, None)
    shown = await until(lines, lambda one: len(one.get("machine", {}).get("runs", ())) == 3)
    now, second, first = shown["machine"]["runs"]
    assert (now["ended"], now["exit"]) == (None, None)
    assert [one["exit"]["exit_code"] for one in (second, first)] == [3, 3]
    assert [one["exit"]["restarting"] for one in (second, first)] == [False, True]
    assert first["started"] <= first["ended"] < second["started"] <= second["ended"] < now["started"]
    assert shown["machine"]["command"] == "exit 3"


async def test_who_reads_slowly_is_told_how_things_are_by_then(world: World, lines: Lines) -> None:
    first = machine(world, "run", "1")
    await until(lines, lambda one: "ready" in one)
    await world.context.clock.sleep(10)
    for _ in range(500):
        world.engine.set_metadata("app", first, {"k": "v"})
    changes = [await anext(lines)]
    world.engine.begin_close()
    changes += [one async for one in lines]
    assert [one["machine"]["state"] for one in changes if "machine" in one] == ["stopped"]


async def test_it_ends_with_the_engine(world: World, lines: Lines) -> None:
    assert await anext(lines) == {"ready": True}
    waiting = asyncio.ensure_future(anext(lines, None))
    await asyncio.sleep(1)
    world.engine.begin_close()
    assert await waiting in (None, {})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EngineStatus, str]]:
    home = tmp_path_factory.mktemp("page")
    status = start_engine(home)
    yield status, read_token(home)
    stop_engine(home)


def test_the_page_holds_nothing_and_what_happens_is_for_holders_of_the_token(engine: tuple[EngineStatus, str]) -> None:
    status, token = engine
    shown = httpx.get(f"{status.url}/", trust_env=False)
    assert shown.text == dashboard_page()[0]
    assert token not in shown.text
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in dashboard_page()[0].replace("http-equiv", ""), "nothing comes from elsewhere"
    assert httpx.get(f"{status.url}/", headers={"Host": "evil.example"}, trust_env=False).status_code == 403
    assert httpx.get(f"{status.url}/engine/happenings", trust_env=False).status_code == 401


def test_the_door_leads_there_once_and_only_its_owner_can_read_it(engine: tuple[EngineStatus, str]) -> None:
    status, token = engine
    assert status.token_file
    door = write_redirect_page(status.token_file.parent, str(status.url))
    assert door.stat().st_mode & 0o777 == 0o600
    assert token not in door.read_text()
    (code,) = re.findall(rf"{status.url}/#code=([\w-]+)", door.read_text())
    asked = [httpx.post(f"{status.url}/engine/page-tokens", json={"code": code}, trust_env=False) for _ in range(2)]
    assert [reply.status_code for reply in asked] == [200, 401]
    assert asked[0].json() == {"token": token}


def test_an_engine_that_issues_no_code_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    with pytest.raises(EngineStartError, match="gives no access to its page") as raised:
        write_redirect_page(tmp_path, "http://127.0.0.1:1")
    assert "engine stop" in str(raised.value.remedy)
    assert not (tmp_path / "open.html").exists()
