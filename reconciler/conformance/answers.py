"""Probe names, waits, exit codes, and what stays of a destroyed machine.

The client relies on these too.
"""

from typing import Final

from reconciler.conformance import probe
from reconciler.conformance.calls import SHORT_CODE
from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import UntriedError, expect, needs
from reconciler.conformance.reading import exit_of, since, version_of
from reconciler.errors import ApiErrorKind
from reconciler.machines_api.values import list_of

_KILLED: Final = 137
_WITHIN_S: Final = 20.0


async def _exit_code(lab: Laboratory, machine_id: str, known: frozenset[str]) -> object:
    """Return the code of the newest exit that is not known. Raises UntriedError."""
    deadline = lab.clock.monotonic() + _WITHIN_S
    while lab.clock.monotonic() < deadline:
        for event in since(await lab.events(machine_id), known):
            if (found := exit_of(event)) is not None:
                return found.get("exit_code", 0)
        await lab.clock.sleep(0.5)
    raise UntriedError("no exit event came")


async def _own_code(lab: Laboratory) -> str:
    machine_id = await lab.resting("short")
    known = await lab.known_events(machine_id)
    await lab.start(machine_id)
    await lab.until_state(machine_id, "stopped", "failed")
    code = await _exit_code(lab, machine_id, known)
    return expect(code == SHORT_CODE, f"exit_code {code}")


async def _killed_code(lab: Laboratory) -> str:
    machine_id = await lab.resting("stubborn")
    await lab.start(machine_id)
    await lab.until_state(machine_id, "started")
    await lab.clock.sleep(1)  # until its command ignores the signal
    known = await lab.known_events(machine_id)
    stopped = await lab.ask("POST", "/stop", machine_id, body={"timeout": "1s"})
    needs(stopped.is_success, f"stop answers {stopped.words}")
    await lab.until_state(machine_id, "stopped", "failed")
    code = await _exit_code(lab, machine_id, known)
    await lab.discard("stubborn")
    return expect(code == _KILLED, f"exit_code {code}")


async def _rests_stopped(lab: Laboratory) -> str:
    machine_id = str((await lab.create("short"))["id"])
    try:
        await lab.until_state(machine_id, "stopped")
        return "stopped"
    except UntriedError:
        return expect(False, f"it stays {await lab.state(machine_id)}")
    finally:
        await lab.ask("DELETE", "", machine_id, query={"force": "true"})


async def _long_wait(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    answer = await lab.ask("GET", "/wait", machine_id, query={"state": "stopped", "timeout": 61})
    return expect(answer.status == 400, answer.words)


async def _expired_wait(lab: Laboratory) -> str:
    machine_id = await lab.in_state("started")
    query = {"state": "stopped", "timeout": 1, "version": version_of(await lab.look(machine_id))}
    answer = await lab.ask("GET", "/wait", machine_id, query=query)
    return expect(answer.status == 408 and answer.kind is ApiErrorKind.WAIT_EXPIRED, answer.words)


async def _wait_that_is_over(lab: Laboratory) -> str:
    machine_id = await lab.in_state("started")
    query = {"state": "started", "timeout": 5, "version": version_of(await lab.look(machine_id))}
    answer = await lab.ask("GET", "/wait", machine_id, query=query)
    return expect(answer.is_success, answer.words)


async def _readable_when_destroyed(lab: Laboratory) -> str:
    machine_id = await lab.in_state("destroyed")
    answer = await lab.ask("GET", "", machine_id)
    state = answer.members.get("state")
    expect(answer.is_success and state == "destroyed", f"{answer.words}{f', {state}' if state else ''}")
    return expect(list_of(answer.members.get("events")), f"{answer.words}, {state}, with its events")


async def _listed_when_destroyed(lab: Laboratory) -> str:
    machine_id = await lab.in_state("destroyed")
    return await lab.before_long(lambda: _listed(lab, machine_id))


async def _listed(lab: Laboratory, machine_id: str) -> str:
    plain = await lab.ask("GET", "/machines")
    every = await lab.ask("GET", "/machines", query={"include_deleted": "true"})
    needs(plain.is_success and every.is_success, f"GET machines answers {plain.words} and {every.words}")
    there = [any(one.get("id") == machine_id for one in list_of(answer.body)) for answer in (plain, every)]
    told = ("left out of", "in")
    return expect(there == [False, True], f"{told[there[0]]} the list, {told[there[1]]} that with `include_deleted`")


async def _taken_app(lab: Laboratory) -> str:
    body = {"name": lab.app, "app_name": lab.app, "org_slug": "personal"}
    answer = await lab.api.send("POST", "/v1/apps", limit=("create_app", ""), body=body, timeout_s=15)
    return expect(answer.kind is ApiErrorKind.NAME_TAKEN, answer.words)


ANSWERS: Final = (
    probe.answer("app that exists", "a second POST of its name is refused, 422 name_taken", "POST apps", _taken_app),
    probe.answer("skip_launch", "a machine made with it becomes stopped", "CREATE, GET", _rests_stopped, machines=1),
    probe.answer("exit code", f"the exit event has the command's own, {SHORT_CODE}", "START, GET events", _own_code),
    probe.answer(
        "exit code of a kill", f"{_KILLED}", "START, STOP that is ignored, GET events", _killed_code, machines=1
    ),
    probe.answer("wait", "answered once the state is there", "WAIT started", _wait_that_is_over),
    probe.answer("wait that expires", "408 failed to reach desired state", "WAIT stopped", _expired_wait),
    probe.answer("wait of 61 s", "400", "WAIT", _long_wait),
    probe.answer(
        "destroyed machine",
        "GET answers 200, destroyed, with its events",
        "DELETE, GET",
        _readable_when_destroyed,
        machines=1,
    ),
    probe.answer(
        "list", "a destroyed machine is listed with `include_deleted` alone", "LIST, LIST", _listed_when_destroyed
    ),
)
