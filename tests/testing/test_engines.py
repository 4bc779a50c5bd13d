"""What the two engines promise: what they wait for, refuse, and show of faults."""

import asyncio
import threading
from typing import Any

import httpx
import pytest

from reconciler.engine.faults.rules import API_FAULTS, ENGINE_FAULTS, REPLY_FAULTS
from reconciler.testing.live import LiveEngine
from reconciler.testing.scripted import parse_script
from reconciler.testing.virtual import VirtualEngine

pytestmark = pytest.mark.slow

CREATE = "/apps/work/machines"


def config(*words: str, **more: Any) -> dict[str, Any]:
    return {"image": "i", "init": {"exec": list(words)}, "restart": {"policy": "no"}} | more


def create(engine: LiveEngine | VirtualEngine, *words: str, name: str = "one", **more: Any) -> Any:
    body = {"name": name, "config": config(*words, **more)}
    return engine.client().post(CREATE, json=body).raise_for_status().json()


@pytest.fixture(autouse=True)
def app(request: pytest.FixtureRequest) -> None:
    for fixture in {"live_engine", "virtual_engine"} & set(request.fixturenames):
        request.getfixturevalue(fixture).create_app("work")


@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "refuse_connection"])
def test_a_broken_connection_is_an_error_of_httpx_in_both(
    live_engine: LiveEngine, virtual_engine: VirtualEngine, fault: str
) -> None:
    for engine in (live_engine, virtual_engine):
        rule = engine.fault(fault, call="create")
        with pytest.raises(httpx.TransportError):
            create(engine, "exit", "0")
        assert (rule.struck, len(engine.machines("work"))) == (1, int(fault == "lose_reply"))
        engine.fault(fault, times="always")
        engine.clear_faults()
        assert engine.client().get(CREATE).status_code == 200
        assert engine.requests == [f"POST {CREATE}", f"GET {CREATE}"]


def test_a_reply_that_is_late_is_a_read_timeout_and_the_call_is_done(virtual_engine: VirtualEngine) -> None:
    virtual_engine.fault("late_reply", call="create", seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        virtual_engine.client(timeout=5).post(CREATE, json={"config": config("exit", "0")})
    assert virtual_engine.clock.monotonic() == pytest.approx(5)
    assert len(virtual_engine.machines("work")) == 1


@pytest.mark.parametrize("fault", [*API_FAULTS, *REPLY_FAULTS, *ENGINE_FAULTS])
def test_every_fault_can_be_asked_for(virtual_engine: VirtualEngine, fault: str) -> None:
    rule = virtual_engine.fault(fault, app="work", after=1, times=2, seconds=1)
    assert (rule.fault, rule.struck) == (fault, 0)


@pytest.mark.parametrize(
    ("fault", "details", "message"),
    [
        ("lose_repli", {}, "unknown fault 'lose_repli'; known: .*lose_reply"),
        ("lose_reply", {"cal": "create"}, "unknown key 'cal'; known: .*call"),
        ("lose_reply", {"call": "crate"}, "unknown call 'crate'; known: .*create"),
        ("lose_reply", {"call": ["create", "strat"]}, "unknown call 'strat'"),
        ("lose_reply", {"times": "twice"}, "expected a number or `always`"),
        ("lose_reply", {"call": "create", "machine": "one"}, "create names no machine"),
        ("drop_start", {"call": "start"}, "it strikes at no call"),
        ("unpullable", {"request": 3}, "it strikes at no call"),
    ],
)
def test_a_fault_that_could_never_strike_is_an_error(
    live_engine: LiveEngine, virtual_engine: VirtualEngine, fault: str, details: dict[str, Any], message: str
) -> None:
    for engine in (live_engine, virtual_engine):
        with pytest.raises(ValueError, match=message):
            engine.fault(fault, **details)
        assert create(engine, "exit", "0")["name"] == "one"


def test_the_platforms_own_faults_strike_in_both(live_engine: LiveEngine, virtual_engine: VirtualEngine) -> None:
    for engine in (live_engine, virtual_engine):
        rule = engine.fault("unpullable", machine="o*")
        create(engine, "exit", "0")
        waiting = engine.wait_for_state("work", "one", "failed")
        machine: Any = engine.run(waiting) if isinstance(engine, VirtualEngine) else waiting  # type: ignore[arg-type]
        assert (machine["state"], rule.struck) == ("failed", 1)


def test_a_wait_begins_before_its_machine_is_there(live_engine: LiveEngine) -> None:
    seen: list[Any] = []
    waiting = threading.Thread(target=lambda: seen.append(live_engine.wait_for_state("work", "one", "stopped")))
    waiting.start()
    machine = create(live_engine, "true")
    waiting.join()
    assert [one["id"] for one in seen] == [machine["id"]]


def test_a_wait_that_ends_in_nothing_says_what_there_is(live_engine: LiveEngine, virtual_engine: VirtualEngine) -> None:
    create(live_engine, "sh", "-c", "echo hello; sleep 60")
    live_engine.wait_for_log("work", "hello", machine="one")
    there = r"one \(\w+\) is started. They printed:\n  \| hello"
    with pytest.raises(TimeoutError, match=rf"'one' .* was not stopped or failed within 0.01 s.*{there}"):
        live_engine.wait_for_state("work", "one", "stopped", "failed", timeout_s=0.01)
    with pytest.raises(TimeoutError, match=f"no line with 'x' .*{there}"):
        live_engine.wait_for_log("work", "x", timeout_s=0.01)
    with pytest.raises(TimeoutError, match="no line with 'hello'"):
        live_engine.wait_for_log("work", "hello", machine="two", timeout_s=0.01)
    with pytest.raises(ValueError, match=r"unknown state 'stoped'; known: .*stopped"):
        live_engine.wait_for_state("work", "one", "stoped")
    with pytest.raises(TimeoutError, match=r"Its machines: none\. They printed: nothing"):
        virtual_engine.run(virtual_engine.wait_for_log("work", "x"))


def test_all_lines_are_there_however_many(live_engine: LiveEngine) -> None:
    create(live_engine, "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo end")
    assert live_engine.wait_for_log("work", "end") == "end"
    assert live_engine.logs("work") == [*(f"line {number}" for number in range(3000)), "end"]
    assert live_engine.logs("work", "two") == []


def test_restarts_with_their_pauses_take_no_time(virtual_engine: VirtualEngine) -> None:
    virtual_engine.script("run 600 exit 1", machine="o*")
    create(virtual_engine, "say", "never", restart={"policy": "on-failure", "max_retries": 5})
    virtual_engine.run(virtual_engine.wait_for_state("work", "one", "stopped"))
    assert virtual_engine.clock.monotonic() > 6 * 600
    assert virtual_engine.logs("work") == []


def test_what_can_never_happen_is_told_instead_of_waited_for(virtual_engine: VirtualEngine) -> None:
    with pytest.raises(RuntimeError, match="deadlock"):
        virtual_engine.run(asyncio.Event().wait())


@pytest.mark.parametrize("text", ["sleep 3", "run", "run soon", "exit 1.5", "say"])
def test_a_script_of_other_words_is_an_error_that_says_which_there_are(
    virtual_engine: VirtualEngine, text: str
) -> None:
    with pytest.raises(ValueError, match="known: say TEXT, err TEXT, run SECONDS, exit CODE, die SIGNAL, stubborn"):
        virtual_engine.script(text)
    assert parse_script("stubborn say 'two words' run 0.5 die 9")[2] == "two words"


def test_the_environment_leads_this_projects_own_client_there(
    live_engine: LiveEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reconciler.targets import resolve_target

    target = resolve_target(live_engine.environment)
    assert (target.base_url, target.logs_url) == (live_engine.url, live_engine.url)
    assert target.token is not None
    assert target.token.reveal() == live_engine.token


def test_a_stranger_is_not_answered(live_engine: LiveEngine, virtual_engine: VirtualEngine) -> None:
    for engine in (live_engine, virtual_engine):
        assert engine.client(headers={"Authorization": "Bearer x"}).get("/apps").status_code == 401


def test_a_line_is_seen_that_comes_after_others_were_looked_at(virtual_engine: VirtualEngine) -> None:
    create(virtual_engine, "say", "first", "run", "1", "say", "second", "run", "60")
    assert virtual_engine.run(virtual_engine.wait_for_log("work", "second", timeout_s=30)) == "second"


def test_a_destroyed_machine_is_told_for_two_days(virtual_engine: VirtualEngine) -> None:
    machine = create(virtual_engine, "exit", "0")
    client = virtual_engine.client()
    client.delete(f"{CREATE}/{machine['id']}?force=true").raise_for_status()
    virtual_engine.run(virtual_engine.clock.sleep(47 * 3600))
    assert client.get(f"{CREATE}/{machine['id']}").json()["state"] == "destroyed"
    virtual_engine.run(virtual_engine.clock.sleep(2 * 3600))
    assert client.get(f"{CREATE}/{machine['id']}").status_code == 404


def test_a_call_that_asks_for_a_thread_does_not_keep_the_engine_from_ending() -> None:
    with VirtualEngine() as engine:
        engine.create_app("work")
        body = {"name": "data", "region": "iad", "size_gb": 1}
        assert engine.client().post("/apps/work/volumes", json=body).raise_for_status().json()["size_gb"] == 1
