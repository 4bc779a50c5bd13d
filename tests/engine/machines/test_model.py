"""Random calls, leases and leaps of the clock, checked against a small model."""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from reconciler.engine.engine import Engine
from reconciler.engine.http.app import create_engine_app
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.virtual_time import VirtualClock, VirtualLoop

RUN_S = 7.25  # no call comes at the very moment of a run's end
SETTLE_S = 0.5  # longer than every window of the engine


@dataclass
class Expected:
    """What the model knows of one machine."""

    name: str
    image: str
    ends_at: float | None = None  # while it runs
    is_destroyed: bool = False
    versions: int = 1
    starts: int = 0
    nonce: str | None = None
    expires_at: float = 0.0
    metadata: dict[str, str] = field(default_factory=dict)
    instance_ids: set[str] = field(default_factory=set)

    def state(self, now: float) -> str:
        if self.is_destroyed:
            return "destroyed"
        return "started" if self.ends_at is not None and now < self.ends_at else "stopped"

    def holder(self, now: float, nonce: str | None) -> str:
        if self.nonce is None or now >= self.expires_at:
            return "free"
        return "own" if nonce == self.nonce else "foreign"


class EngineModel(RuleBasedStateMachine):
    machines = Bundle("machines")
    leases = Bundle("leases")
    names = st.sampled_from(["a", "b", "c"])
    has_nonce = st.booleans()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.expected: dict[str, Expected] = {}
        self.engine: Engine = self.runner.run(self._open())

    async def _open(self) -> Engine:
        engine = Engine(database=":memory:", runtime=ScriptedRuntime(), clock=VirtualClock())
        await engine.start()
        transport = httpx.ASGITransport(app=create_engine_app(engine, token="t"))
        self.http = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1/v1/apps/app", headers={"Authorization": "Bearer t"}
        )
        engine.create_app("app", "personal")
        return engine

    def teardown(self) -> None:
        self.runner.run(self.http.aclose())
        self.runner.run(self.engine.close())
        self.runner.close()

    @property
    def now(self) -> float:
        return self.runner.get_loop().time()

    def ask(self, method: str, path: str, body: Any = None, nonce: str | None = None) -> httpx.Response:
        """The reply, after the engine's windows have passed."""

        async def call() -> httpx.Response:
            headers = {"fly-machine-lease-nonce": nonce} if nonce else {}
            reply = await self.http.request(method, path, json=body, headers=headers)
            self.at = self.runner.get_loop().time()
            await asyncio.sleep(SETTLE_S)
            return reply

        return self.runner.run(call())

    def guarded(self, machine: str, is_holder: bool, *, waits: bool) -> tuple[Expected, str | None, bool]:
        """What is expected, the nonce to send, and whether the lease lets it pass; lets time pass where it waits."""
        expected = self.expected[machine]
        nonce = expected.nonce if is_holder else None
        return expected, nonce, waits or expected.holder(self.now, nonce) != "foreign"

    @rule(target=machines, name=names, skip_launch=st.booleans(), image=st.sampled_from(["i", "j"]))
    def create(self, name: str, skip_launch: bool, image: str) -> str:
        config = {"image": image, "init": {"cmd": ["run", str(RUN_S)]}, "restart": {"policy": "no"}}
        body = {"name": name, "skip_launch": skip_launch, "config": config}
        taken = [key for key, one in self.expected.items() if one.name == name and not one.is_destroyed]
        reply = self.ask("POST", "/machines", body)
        if taken:
            assert reply.status_code == 409
            assert f"machine ID {taken[0]} already exists" in reply.text
            return taken[0]
        assert reply.status_code == 200
        machine = reply.json()
        expected = Expected(name=name, image=image, instance_ids={machine["instance_id"]})
        if not skip_launch:
            expected.starts, expected.ends_at = 1, self.at + 0.05 + RUN_S
        self.expected[machine["id"]] = expected
        return str(machine["id"])

    @rule(machine=machines, is_holder=has_nonce)
    def start(self, machine: str, is_holder: bool) -> None:
        expected, nonce, passes = self.guarded(machine, is_holder, waits=False)
        before = expected.state(self.now)
        reply = self.ask("POST", f"/machines/{machine}/start", nonce=nonce)
        if not passes:
            assert reply.status_code == 409
        elif before == "destroyed":
            assert reply.status_code == 404
        else:
            assert reply.json()["previous_state"] == before
            if before == "stopped":
                expected.starts, expected.ends_at = expected.starts + 1, self.at + RUN_S

    @rule(machine=machines, is_holder=has_nonce)
    def stop(self, machine: str, is_holder: bool) -> None:
        expected, nonce, _ = self.guarded(machine, is_holder, waits=True)
        reply = self.ask("POST", f"/machines/{machine}/stop", nonce=nonce)
        assert reply.status_code == (404 if expected.is_destroyed else 200)
        if expected.state(self.at) == "started":
            expected.ends_at = self.at

    @rule(machine=machines, is_holder=has_nonce, image=st.sampled_from(["i", "j", "k"]), is_stale=st.booleans())
    def update(self, machine: str, is_holder: bool, image: str, is_stale: bool) -> None:
        expected, nonce, passes = self.guarded(machine, is_holder, waits=False)
        before = expected.state(self.now)
        config = {"image": image, "init": {"cmd": ["run", str(RUN_S)]}, "restart": {"policy": "no"}}
        body = {"config": config} | ({"current_version": "an older one"} if is_stale else {})
        reply = self.ask("POST", f"/machines/{machine}", body, nonce)
        if not passes:
            assert reply.status_code == 409
        elif before == "destroyed":
            assert reply.status_code == 404
        elif is_stale:
            assert reply.status_code == 409
        else:
            assert reply.status_code == 200
            expected.image, expected.versions, expected.metadata = image, expected.versions + 1, {}
            assert reply.json()["instance_id"] not in expected.instance_ids
            expected.instance_ids.add(reply.json()["instance_id"])
            if before == "started":
                expected.starts, expected.ends_at = expected.starts + 1, self.at + 0.03 + RUN_S

    @rule(machine=machines, is_holder=has_nonce, force=st.booleans())
    def destroy(self, machine: str, is_holder: bool, force: bool) -> None:
        expected, nonce, _ = self.guarded(machine, is_holder, waits=True)
        reply = self.ask("DELETE", f"/machines/{machine}{'?force=true' if force else ''}", nonce=nonce)
        state = expected.state(self.at)
        if state == "destroyed":
            assert reply.status_code == 404
        elif state == "started" and not force:
            assert reply.status_code == 412
        else:
            assert reply.json() == {"ok": True}
            expected.is_destroyed, expected.nonce = True, None

    @rule(target=leases, machine=machines, ttl=st.integers(1, 30))
    def lease(self, machine: str, ttl: int) -> str:
        expected = self.expected[machine]
        holder = expected.holder(self.now, None)
        reply = self.ask("POST", f"/machines/{machine}/lease", {"ttl": ttl, "description": "d"})
        if expected.is_destroyed:
            assert reply.status_code == 404
        elif holder == "foreign":
            assert reply.status_code == 409
        else:
            assert reply.status_code == 201
            expected.nonce, expected.expires_at = reply.json()["data"]["nonce"], self.at + ttl
        return machine

    @rule(machine=consumes(leases))
    def release(self, machine: str) -> None:
        expected = self.expected[machine]
        holder = expected.holder(self.now, expected.nonce)
        reply = self.ask("DELETE", f"/machines/{machine}/lease", nonce=expected.nonce)
        assert reply.status_code == (200 if holder == "own" else 404)
        expected.nonce = None

    @rule(machine=machines, key=st.sampled_from(["x", "y"]), value=st.sampled_from(["", "1", "2"]))
    def set_metadata(self, machine: str, key: str, value: str) -> None:
        expected = self.expected[machine]
        reply = self.ask("POST", f"/machines/{machine}/metadata/{key}", {"value": value})
        assert reply.status_code == (404 if expected.is_destroyed else 204)
        if not expected.is_destroyed:
            expected.metadata = {k: v for k, v in (expected.metadata | {key: value}).items() if v}

    @rule(seconds=st.integers(1, 40))
    def let_time_pass(self, seconds: int) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        listed = {one["id"]: one for one in self.runner.run(self.http.get("/machines")).json()}
        assert set(listed) == {key for key, one in self.expected.items() if not one.is_destroyed}
        names = [one["name"] for one in listed.values()]
        assert len(names) == len(set(names))
        for key, expected in self.expected.items():
            machine = self.runner.run(self.http.get(f"/machines/{key}")).json()
            assert machine["state"] == expected.state(self.now)
            assert machine["config"]["image"] == expected.image
            assert (machine["config"].get("metadata") or {}) == expected.metadata
            assert machine.get("nonce") == (expected.nonce if expected.holder(self.now, None) == "foreign" else None)
            versions = self.runner.run(self.http.get(f"/machines/{key}/versions")).json()
            assert len(versions) == expected.versions
            assert versions[0]["version"] == machine["instance_id"]
            self.check_events(key, expected)

    def check_events(self, key: str, expected: Expected) -> None:
        events = self.runner.run(self.http.get(f"/machines/{key}/events?limit=50")).json()
        stamps = [event["timestamp"] for event in events]
        assert stamps == sorted(stamps, reverse=True)
        assert len(set(stamps)) == len(stamps)
        if len(events) < 50:
            assert [event["type"] for event in events].count("start") == expected.starts
        running = int(expected.state(self.now) == "started")
        kinds = [event["type"] for event in events if event["type"] in {"start", "exit"}]
        assert kinds[:1] == [] or (kinds[0] == "start") is bool(running)
        # A start and an exit take turns.
        assert all(one != other for one, other in itertools.pairwise(kinds))


EngineModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEngineModel = pytest.mark.slow(EngineModel.TestCase)
