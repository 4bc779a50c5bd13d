"""Every endpoint with a body refuses values that no later reply could show."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.http.routes import ENDPOINTS
from reconciler.engine.http.routes.base import Endpoint
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.transport import EngineTransport
from reconciler.testing.virtual_time import VirtualClock
from tests.support.engine_api import Ask, make, with_api
from tests.support.world import TOKEN, World

pytestmark = pytest.mark.slow

CONFIG = {
    "image": "i",
    "env": {"A": "b"},
    "metadata": {"a": "b"},
    "init": {"exec": ["true"], "cmd": ["true"]},
    "files": [{"guest_path": "/a", "raw_value": "YQ=="}],
    "services": [{"internal_port": 80, "protocol": "tcp"}],
    "checks": {"up": {"type": "tcp", "port": 80}},
    "unknown": [{"to": {"us": "x"}}],
}
BODY = {
    "name": "other",
    "app_name": "other",
    "org_slug": "personal",
    "region": "iad",
    "config": CONFIG,
    "command": ["true"],
    "stdin": "x",
    "description": "x",
    "metadata": {"a": "b"},
    "values": {"A": "b"},
    "value": "x",
    "signal": "SIGUSR1",
    "size_gb": 1,
}
WRITES = [one for one in ENDPOINTS if one.method in {"POST", "PUT", "PATCH"}]
TAKES_NO_BODY = {"start", "restart", "suspend", "cordon", "create_snapshot"}
POISON = "\ud800x"


def poisoned(value: Any, poison: Any) -> Iterator[Any]:
    """The value once for each of its texts, and of its names, with the poison in that one's place."""
    if isinstance(value, str):
        yield poison
    elif isinstance(value, list):
        for number, member in enumerate(value):
            for bad in poisoned(member, poison):
                yield [*value[:number], bad, *value[number + 1 :]]
    elif isinstance(value, dict):
        for key, member in value.items():
            for bad in poisoned(member, poison):
                yield value | {key: bad}
            if isinstance(poison, str):
                yield {name: other for name, other in value.items() if name != key} | {poison: member}


@pytest.mark.parametrize("poison", [POISON, float("nan"), float("inf")], ids=["surrogate", "nan", "inf"])
@pytest.mark.parametrize("endpoint", WRITES, ids=lambda one: f"{one.method} {one.path}")
def test_what_cannot_be_shown_again_is_refused_and_not_kept(endpoint: Endpoint, poison: Any) -> None:
    async def scenario(world: World, ask: Ask) -> None:
        machine = await make(ask, "run", "1000", skip_launch=False)
        await world.context.clock.sleep(1)
        store = world.engine.store
        names = {
            "app": "app",
            "machine": machine,
            "volume": "v",
            "key": "k",
            "name": "N",
            "org": "personal",
            "hostname": "h",
        }
        world.add_volumes("v")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = httpx.AsyncClient(
            transport=EngineTransport(world.engine, TOKEN), base_url="http://127.0.0.1/v1", headers=headers
        )
        path = endpoint.path.format_map(names)
        before = (list(store.machines()), dict(store.apps), list(store.secrets), list(store.volumes))
        for body in poisoned(BODY, poison):
            reply = await http.request(endpoint.method, path, content=json.dumps(body))
            assert reply.status_code == 400, reply.text
            assert "not JSON" in reply.json()["error"]
            assert (list(store.machines()), dict(store.apps), list(store.secrets), list(store.volumes)) == before
        assert (await ask("GET", "/machines")).status_code == 200

    if endpoint.call not in TAKES_NO_BODY:
        with_api(scenario)


@pytest.mark.parametrize("member", ["files", "mounts", "processes", "services", "containers"])
async def test_a_null_among_objects_is_an_empty_one(ask: Ask, member: str) -> None:
    body = {"name": "m", "config": {"image": "i", member: [None]}, "skip_launch": True}
    made = await ask("POST", "/machines", json=body)
    assert made.status_code == (400 if member == "files" else 200), made.text
    assert (await ask("GET", "/machines")).status_code == 200


@pytest.mark.parametrize("member", ["env", "metadata"])
async def test_a_null_among_texts_is_an_empty_one(world: World, ask: Ask, member: str) -> None:
    options: dict[str, Any] = {member: {"A": None}}
    await make(ask, "run", "1", skip_launch=False, **options)
    await world.context.clock.sleep(1)
    assert (await ask("GET", "/machines")).status_code == 200
    assert world.runtime.starts[0].commands[0].env.get("A", "") == ""


async def test_what_an_earlier_version_kept_is_shown_again(tmp_path: Path) -> None:
    config = {
        "image": "i",
        "env": {"A\ud800": "b\udfff", "C": "\U0001f600"},
        "unknown": [float("nan"), float("inf")],
    }
    for is_again in (False, True):
        engine = Engine(database=tmp_path / "db", runtime=ScriptedRuntime(), clock=VirtualClock())
        await engine.start()
        if not is_again:
            engine.create_app("app", "personal")
            engine.create("app", {"config": config, "skip_launch": True})
        [machine] = engine.machines("app")
        [(_, version)] = engine.versions("app", machine.id)
        await engine.close()
    mended = {"image": "i", "env": {"A?": "b?", "C": "\U0001f600"}, "unknown": [None, None]}
    assert machine.config == version == mended
