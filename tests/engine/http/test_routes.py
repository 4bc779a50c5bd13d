"""Calls on real processes: restart, suspend, signals, ps, secrets, volumes, lists."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.http.app import create_engine_app
from reconciler.engine.runtime.process import ProcessRuntime
from tests.support.world import TOKEN

Call = Callable[..., Awaitable[httpx.Response]]
LOOP = "while true; do sleep 0.02; done"


def with_calls(home: Path, scenario: Callable[[Call, Engine], Awaitable[None]]) -> None:
    """An engine that really runs commands, and its API without a network."""

    async def run() -> None:
        engine = Engine(
            database=home / "engine.db",
            runtime=ProcessRuntime(home / "machines"),
            clock=SystemClock(),
            volumes=home / "volumes",
        )
        await engine.start()
        transport = httpx.ASGITransport(app=create_engine_app(engine, token=TOKEN))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/v1", headers=headers) as http:

                async def call(method: str, path: str, body: Any = None, status: int | None = None) -> httpx.Response:
                    reply = await http.request(method, path, json=body)
                    assert reply.is_success if status is None else reply.status_code == status, reply.text
                    return reply

                if "app" not in engine.store.apps:
                    await call("POST", "/apps", {"app_name": "app", "org_slug": "personal"})
                await scenario(call, engine)
        finally:
            await engine.close()

    asyncio.run(run())


async def launched(call: Call, script: str, state: str = "started", **body: Any) -> str:
    """The path of a new machine that runs the script, once it is in the state."""
    config = {"image": "i", "init": {"exec": ["sh", "-c", script]}, "restart": {"policy": "no"}} | body.pop(
        "config", {}
    )
    machine = (await call("POST", "/apps/app/machines", {"config": config, **body})).json()
    path = f"/apps/app/machines/{machine['id']}"
    await call("GET", f"{path}/wait?state={state}")
    return path


async def said(call: Call, path: str, count: int = 1) -> list[str]:
    """What the machine has written to stdout, once it has so many lines."""
    machine = path.rpartition("/")[2]
    while True:
        reply = await call("GET", f"http://127.0.0.1/api/v1/apps/app/logs?instance={machine}")
        entries = [one["attributes"] for one in reply.json()["data"]]
        lines = [entry["message"] for entry in entries if entry["meta"]["stream"] == "stdout"]
        if len(lines) >= count:
            return lines
        await asyncio.sleep(0.01)


async def kinds(call: Call, path: str) -> list[tuple[str, str]]:
    return [(one["type"], one["status"]) for one in reversed((await call("GET", path)).json()["events"])]


def test_restart_ends_what_runs_and_starts_it_again(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, f"trap 'echo bye; exit 0' TERM; echo up; {LOOP}")
        await said(call, path)
        await call("POST", f"{path}/restart?signal=SIGTERM&timeout=10s")
        assert await said(call, path, 3) == ["up", "bye", "up"]
        assert await kinds(call, path) == [
            ("launch", "created"),
            ("start", "started"),
            ("restart", "restarting"),
            ("exit", "stopped"),
            ("start", "started"),
        ]
        await call("POST", f"{path}/stop", {"signal": "SIGKILL"})
        await call("GET", f"{path}/wait?state=stopped")
        await call("POST", f"{path}/restart")
        assert len(await said(call, path, 4)) == 4, "one at rest is started"

    with_calls(tmp_path, scenario)


def test_suspend_lets_a_machine_stand_still_and_start_lets_it_go_on(tmp_path: Path) -> None:
    script = "n=0; while true; do n=$((n+1)); echo $n; sleep 0.02; done"

    async def scenario(call: Call, engine: Engine) -> None:
        path = await launched(call, script)
        await said(call, path, 3)
        await call("POST", f"{path}/suspend")
        assert (await call("GET", path)).json()["state"] == "suspended"
        process = (await call("GET", f"{path}/ps")).json()[0]  # the shell, before its children
        assert "n=0" in process["command"]
        await is_in(process["pid"], "T", "D")  # D where it stands between a fork and its child's first instruction
        last = int((await said(call, path))[-1])
        await call("POST", f"{path}/start")
        await call("GET", f"{path}/wait?state=started")
        numbers = await counted(call, path, to=last + 3)
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "it goes on where it stood"
        await call("POST", f"{path}/suspend")
        await call("POST", f"{path}/stop")
        await call("GET", f"{path}/wait?state=stopped")
        await is_in(process["pid"], "", "Z")

    with_calls(tmp_path, scenario)


def test_a_start_right_after_the_stop_of_a_suspended_machine_starts_anew(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, "echo up; sleep 1000")
        for _ in range(3):
            await said(call, path)
            await call("POST", f"{path}/suspend")
            await call("POST", f"{path}/stop")
            await call("POST", f"{path}/start")
        assert await said(call, path, 4) == ["up"] * 4
        machine = (await call("GET", path)).json()
        assert machine["state"] == "started"
        assert [event["type"] for event in machine["events"][:2]] == ["start", "exit"]

    with_calls(tmp_path, scenario)


async def counted(call: Call, path: str, *, to: int) -> list[int]:
    """The newest numbers that the machine has written, once it has come so far."""
    while True:
        numbers = [int(line) for line in await said(call, path)]
        if numbers[-1] >= to:
            return numbers
        await asyncio.sleep(0.01)


async def is_in(pid: int, *states: str) -> None:
    """Returns once the process is in one of the states: a busy host takes a moment to carry out a signal."""
    while True:
        if state_of(pid) in states:
            return
        await asyncio.sleep(0.01)


def state_of(pid: int) -> str:
    """The letter that the kernel has for the process's state; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_machine_that_was_suspended_when_its_engine_ended_starts_anew(tmp_path: Path) -> None:
    paths = []

    async def begin(call: Call, _engine: Engine) -> None:
        paths.append(await launched(call, "echo up; sleep 1000"))
        await said(call, paths[0])
        await call("POST", f"{paths[0]}/suspend")

    async def go_on(call: Call, _engine: Engine) -> None:
        assert (await call("GET", paths[0])).json()["state"] == "suspended"
        await call("POST", f"{paths[0]}/start")
        assert await said(call, paths[0], 2) == ["up", "up"]

    with_calls(tmp_path, begin)
    with_calls(tmp_path, go_on)


def test_signal_reaches_the_command(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, f"trap 'echo got it' USR1; echo up; {LOOP}")
        await said(call, path)
        await call("POST", f"{path}/signal", {"signal": "SIGUSR1"})
        assert await said(call, path, 2) == ["up", "got it"]
        await call("POST", f"{path}/signal", {"signal": "SIGNOT"}, 400)
        await call("POST", f"{path}/signal", {"signal": 9})
        await call("GET", f"{path}/wait?state=stopped")
        await call("POST", f"{path}/signal", {"signal": "SIGUSR1"}, 412)

    with_calls(tmp_path, scenario)


def test_ps_tells_processes_and_the_sockets_they_listen_on(tmp_path: Path) -> None:
    program = (
        "import socket; listener = socket.create_server(('127.0.0.1', 0)); "
        "print(listener.getsockname()[1], flush=True); listener.accept()"
    )
    script = f'exec python3 -c "{program}"'

    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, script)
        [port] = await said(call, path)
        [process] = (await call("GET", f"{path}/ps?sort_by=rss&order=desc")).json()
        assert process["listen_sockets"] == [{"proto": "tcp", "address": f"127.0.0.1:{port}"}]
        assert "python3 -c" in process["command"]
        assert process["rss"] > 0
        await call("GET", f"{path}/ps?sort_by=nothing", None, 400)

    with_calls(tmp_path, scenario)


def test_secrets_are_seen_by_the_next_start_and_their_values_only_by_who_asks(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        first = (await call("POST", "/apps/app/secrets", {"values": {"PASS": "one", "GONE": "x"}})).json()["version"]
        script = 'echo "$PASS $PLAIN $GONE $OWN"; cat conf'
        config = {
            "env": {"PASS": "from the config", "PLAIN": "plain"},
            "files": [{"guest_path": "/conf", "secret_name": "PASS"}],
        }
        path = await launched(call, script, "stopped", config=config, min_secrets_version=first)
        assert await said(call, path, 2) == ["one plain x ", "one"]
        second = (await call("POST", "/apps/app/secrets", {"values": {"PASS": "two", "GONE": None}})).json()["version"]
        assert second > first
        await call("POST", f"{path}/start")
        assert (await said(call, path, 4))[2:] == ["two plain  ", "two"]

        listed = await call("GET", "/apps/app/secrets")
        assert "two" not in listed.text
        assert [one["name"] for one in listed.json()["secrets"]] == ["PASS"]
        assert (await call("GET", "/apps/app/secrets?show_secrets=true")).json()["secrets"][0]["value"] == "two"
        await call("GET", f"/apps/app/secrets?min_version={second + 1}", None, 412)
        body = {"config": {"image": "i"}, "min_secrets_version": second + 1}
        await call("POST", "/apps/app/machines", body, 412)
        await call("DELETE", "/apps/app/secrets/PASS")
        await call("GET", "/apps/app/secrets/PASS", None, 404)

    with_calls(tmp_path, scenario)


def test_processes_may_have_no_secrets_some_by_other_names_and_fields_of_the_machine(tmp_path: Path) -> None:
    process = {
        "exec": ["sh", "-c", 'echo "$PASS $OTHER $WHERE"'],
        "ignore_app_secrets": True,
        "secrets": [{"env_var": "OTHER", "name": "PASS"}],
        "env_from": [{"env_var": "WHERE", "field_ref": "region"}],
    }

    async def scenario(call: Call, _engine: Engine) -> None:
        await call("POST", "/apps/app/secrets/PASS", {"value": "one"}, 201)
        path = await launched(call, "", "stopped", config={"processes": [process]}, region="ams")
        assert await said(call, path) == [" one ams"]
        bare = await launched(call, 'echo "<$PASS>"', "stopped", skip_secrets=True)
        assert await said(call, bare) == ["<>"]

    with_calls(tmp_path, scenario)


def test_a_volume_outlives_starts_machines_and_the_engine(tmp_path: Path) -> None:
    ids: list[str] = []

    async def write(call: Call, _engine: Engine) -> None:
        volume = (await call("POST", "/apps/app/volumes", {"name": "data", "size_gb": 2})).json()
        ids.append(volume["id"])
        mounts = {"mounts": [{"volume": volume["id"], "path": "/data"}]}
        path = await launched(call, "echo kept >>data/file; cat data/file", "stopped", config=mounts)
        await call("POST", f"{path}/start")
        assert await said(call, path, 3) == ["kept"] * 3
        await call("POST", "/apps/app/machines", {"config": {"image": "i", **mounts}}, 412)
        await call("DELETE", f"/apps/app/volumes/{volume['id']}", None, 412)
        assert (await call("GET", f"/apps/app/volumes/{volume['id']}")).json()["attached_machine_id"] in path
        await call("GET", f"{path}/wait?state=stopped")  # its last line can be there before its end is
        await call("DELETE", path)
        await call("GET", f"{path}/wait?state=destroyed")

    async def read(call: Call, _engine: Engine) -> None:
        mounts = {"mounts": [{"volume": ids[0], "path": "/data"}]}
        path = await launched(call, "cat data/file", "stopped", config=mounts)
        assert await said(call, path, 2) == ["kept"] * 2
        await call("POST", f"/apps/app/volumes/{ids[0]}/snapshots")
        [snapshot] = (await call("GET", f"/apps/app/volumes/{ids[0]}/snapshots")).json()
        assert snapshot["size"] > 0
        copy = (await call("POST", "/apps/app/volumes", {"name": "copy", "snapshot_id": snapshot["id"]})).json()
        mounts = {"mounts": [{"volume": copy["id"], "path": "/data"}]}
        assert await said(call, await launched(call, "cat data/file", "stopped", config=mounts), 2) == ["kept"] * 2
        await call("PUT", f"/apps/app/volumes/{ids[0]}/extend", {"size_gb": 1}, 400)
        assert (await call("PUT", f"/apps/app/volumes/{ids[0]}/extend", {"size_gb": 5})).json()["volume"][
            "size_gb"
        ] == 5

    with_calls(tmp_path, write)
    with_calls(tmp_path, read)


def test_an_organisations_machines_come_page_by_page_each_once(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        await call("POST", "/apps", {"app_name": "other", "org_slug": "elsewhere"})
        for number in range(7):
            body = {"name": f"m{number}", "config": {"image": "i"}, "skip_launch": True}
            made = (await call("POST", "/apps/app/machines", body)).json()
            await call("GET", f"/apps/app/machines/{made['id']}/wait?state=stopped")
        names, cursor, pages = [], "", 0
        while pages == 0 or cursor:
            reply = (await call("GET", f"/orgs/personal/machines?limit=3&cursor={cursor}")).json()
            names += [one["name"] for one in reply["machines"]]
            cursor, pages = reply["next_cursor"], pages + 1
        assert (sorted(names), pages) == ([f"m{number}" for number in range(7)], 3)
        assert (await call("GET", "/orgs/elsewhere/machines")).json()["machines"] == []
        last = reply["last_updated_at"].replace("+", "%2B")
        assert (await call("GET", f"/orgs/personal/machines?updated_after={last}")).json()["machines"] == []
        await call("GET", "/orgs/personal/machines?cursor=none", None, 400)

    with_calls(tmp_path, scenario)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_metadata_of_several_keys_and_of_a_stale_version(tmp_path: Path, method: str) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, "true", "stopped", config={"metadata": {"a": "1", "b": "2"}})
        version = (await call("GET", path)).json()["instance_id"]
        change = {"metadata": {"a": None, "b": "", "c": "3"}, "machine_version": version}
        await call(method, f"{path}/metadata", change, 204)
        assert (await call("GET", f"{path}/metadata")).json() == {"c": "3"}
        stale = await call(method, f"{path}/metadata", change | {"machine_version": "0" * 26}, 412)
        assert "machine_version is stale" in stale.text
        await call(method, f"{path}/metadata", {}, 400)

    with_calls(tmp_path, scenario)


def test_cordon_and_memory_are_remembered(tmp_path: Path) -> None:
    async def scenario(call: Call, _engine: Engine) -> None:
        path = await launched(call, "true", "stopped")
        await call("POST", f"{path}/cordon")
        assert (await call("GET", path)).json()["cordoned"]
        await call("POST", f"{path}/uncordon")
        assert not (await call("GET", path)).json()["cordoned"]
        assert (await call("PUT", f"{path}/memory", {"limit_mb": 100})).json() == {"available_mb": 256, "limit_mb": 100}
        await call("PUT", f"{path}/memory", {"limit_mb": 1000}, 400)
        assert (await call("POST", f"{path}/memory/reclaim", {"amount_mb": 10})).json() == {"actual_mb": 0}

    with_calls(tmp_path, scenario)


def test_with_its_app_volumes_and_secrets_are_gone(tmp_path: Path) -> None:
    async def scenario(call: Call, engine: Engine) -> None:
        volume = (await call("POST", "/apps/app/volumes", {"name": "data"})).json()["id"]
        await call("POST", "/apps/app/secrets/A", {"value": "x"})
        await call("DELETE", "/apps/app")
        await call("POST", "/apps", {"app_name": "app", "org_slug": "personal"})
        assert (await call("GET", "/apps/app/volumes")).json() == []
        assert (await call("GET", "/apps/app/secrets")).json() == {"secrets": []}
        assert not (tmp_path / "volumes" / volume).exists()

    with_calls(tmp_path, scenario)
