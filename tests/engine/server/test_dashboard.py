"""The dashboard: who may see it, its event stream, and that a browser shows it."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.server.daemon import EngineStatus, read_token, start_engine, stop_engine, write_redirect_page
from reconciler.engine.server.dashboard import dashboard_page, stream_events
from tests.support.world import World

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
)
Lines = AsyncIterator[dict[str, Any]]
HOSTILE = "<script>document.title='gone'</script><img src=x onerror=alert(1)>"


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
    assert line["log"] | {"at_ms": 0} == {"machine": first, "stream": "stdout", "at_ms": 0, "message": "hello"}
    states = [one["machine"]["state"] for one in seen if "machine" in one]
    assert states[-1] == "stopped"


async def test_no_value_of_a_variable_a_file_or_metadata_is_told(world: World, lines: Lines) -> None:
    files = [{"guest_path": "/f", "raw_value": "Y2FuYXJ5"}]
    machine(world, "run", "1", env={"A": "canary"}, files=files, metadata={"m": "canary"})
    said = [await anext(lines)]
    while "stopped" not in json.dumps(said[-1].get("machine", {}).get("state", "")):
        said.append(await anext(lines))
    assert "canary" not in json.dumps(said)
    assert "Y2FuYXJ5" not in json.dumps(said)


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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_machines_events_and_logs_and_runs_nothing_of_theirs(
    engine: tuple[EngineStatus, str], tmp_path: Path
) -> None:
    status, token = engine
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{status.url}/v1", headers=headers, timeout=60, trust_env=False) as api:
        api.post("/apps", json={"app_name": "shop", "org_slug": "personal"})
        config = {"image": HOSTILE, "init": {"exec": ["sh", "-c", f'echo "{HOSTILE}" >&2; exit 3']}}
        body = {"name": "hostile", "config": config | {"restart": {"policy": "no"}}}
        made = api.post("/apps/shop/machines", json=body).json()["id"]
        api.get(f"/apps/shop/machines/{made}/wait?state=stopped")

    def dom(address: str, until: str) -> str:
        """The page once it shows this; what a busy browser has not fetched when its time is up, its next run has."""
        command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", address]
        deadline = time.monotonic() + 90
        while True:
            shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
            if until in shown or time.monotonic() > deadline:
                return shown

    shown = dom(f"{status.url}/#token={token}&machine=hostile", 'class="stderr"')
    assert "<title>Local engine</title>" in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;") == 2, "the image, and the line of the log"
    assert "<img" not in shown
    assert "exit code 3" in shown
    assert 'class="stderr"' in shown
    assert token not in shown
    asked = dom(f"{status.url}/#token=wrong", "does not know this token.</p>")
    assert "The engine does not know this token." in asked
    assert "hostile" not in asked


def test_the_door_leads_there_and_only_its_owner_can_read_it(engine: tuple[EngineStatus, str]) -> None:
    status, token = engine
    assert status.token_file
    door = write_redirect_page(status.token_file.parent, str(status.url))
    assert door.stat().st_mode & 0o777 == 0o600
    assert f"{status.url}/#token={token}" in door.read_text()
