"""Ask for the rows of the local engine's table: what a call does in which state.

The rows are read from that table, so that no assumption is written twice. Left out are the states that no call brings
about for sure (failed, starting, restarting, destroying), and the moment before a run is reaped.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import Probe, UntriedError, expect
from reconciler.engine.machines.call_rules import CallRule, Effect, call_rule
from reconciler.machines_api.errors import classify
from reconciler.machines_api.raw import Answer

# In an order in which the machine of one row often serves the next.
ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "stopped": ("stop", "suspend", "signal", "exec", "cordon", "update", "restart"),
    "started": ("start", "exec", "signal", "cordon", "destroy", "update", "restart", "suspend"),
    "suspended": ("suspend", "signal", "exec", "cordon", "start", "restart", "stop", "update"),
    "created": ("start", "destroy"),
    "replacing": ("start", "update", "destroy"),
    "stopping": ("start", "stop", "restart", "suspend", "signal", "exec", "update", "destroy"),
    "destroyed": ("start", "stop", "restart", "suspend", "signal", "exec", "cordon", "update", "destroy", "kill"),
}
# At last, as each of them costs a machine.
ENDS: Final = (
    ("stopped", "start"),
    ("started", "stop"),
    ("stopped", "destroy"),
    ("suspended", "destroy"),
    ("started", "kill"),
    ("stopping", "kill"),
)
_WINDOWS: Final = frozenset({"created", "replacing", "stopping"})  # states that end by themselves
_AFTER: Final = {
    Effect.START: "started",
    Effect.RESTART: "started",
    Effect.REBOOT: "started",
    Effect.STOP: "stopped",
    Effect.DISCARD: "stopped",
    Effect.REPLACE: "stopped",
    Effect.SUSPEND: "suspended",
    Effect.DESTROY: "destroyed",
}
_SETTLES_S: Final = 60.0
_BEGINS_ANEW: Final = frozenset({Effect.RESTART, Effect.REBOOT})


class _Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None
    query: dict[str, Any] | None = None


REQUESTS: Final = {
    "start": _Request("POST", "/start"),
    "stop": _Request("POST", "/stop", {}),
    "restart": _Request("POST", "/restart"),
    "suspend": _Request("POST", "/suspend"),
    "signal": _Request("POST", "/signal", {"signal": "SIGUSR1"}),
    "cordon": _Request("POST", "/cordon"),
    "exec": _Request("POST", "/exec", {"command": ["true"], "timeout": 5}),
    "lease": _Request("POST", "/lease", {"ttl": 5}, {"ttl": 5}),
    "release": _Request("DELETE", "/lease"),
    "metadata": _Request("POST", "/metadata/conform_call", {"value": "x"}),
    "get": _Request("GET", ""),
    "destroy": _Request("DELETE", ""),
    "kill": _Request("DELETE", "", None, {"force": "true"}),
}


async def send(lab: Laboratory, call: str, machine_id: str, *, nonce: str | None = None) -> Answer:
    """Return the answer to a call that is named as in the table."""
    if call == "update":
        return await lab.update(machine_id, nonce=nonce)
    method, path, body, query = REQUESTS[call]
    answer = await lab.ask(method, path, machine_id, body=body, query=query, nonce=nonce, timeout_s=40)
    if call == "cordon" and answer.is_success:
        await lab.ask("POST", "/uncordon", machine_id, nonce=nonce)
    return answer


def means_the_same(answer: Answer, rule: CallRule) -> bool:
    """Return whether the client takes this refusal for the one in the table."""
    return answer.status == rule.status and answer.kind is classify(rule.status, rule.text)


def _probe(call: str, state: str) -> Probe:
    rule = call_rule(call, state)
    goal = _AFTER.get(rule.effect, state)

    async def attempt(lab: Laboratory) -> str:
        machine_id = await lab.in_state(state)
        started = await lab.newest(machine_id, "start") if rule.effect in _BEGINS_ANEW else None
        answer = await send(lab, call, machine_id)
        is_as_said = means_the_same(answer, rule) if rule.effect is Effect.REFUSE else answer.is_success
        if state in _WINDOWS and not is_as_said and (now := await lab.state(machine_id)) != state:
            raise UntriedError(f"the machine was {now} before the call was there")
        expect(is_as_said, answer.words)
        if goal == state and state in _WINDOWS:
            return answer.words
        after = await _settled(lab, machine_id, goal)
        if goal == "destroyed":
            lab.keep_destroyed(machine_id)
        if rule.effect in _BEGINS_ANEW and after == goal:
            expect(await _has_started_since(lab, machine_id, started), f"{answer.words}, and nothing starts anew")
        return expect(after == goal, f"{answer.words}, and the machine is {after}")

    said = f"{rule.status} {rule.text.format(state=state)}" if rule.effect is Effect.REFUSE else str(rule.status)
    then = f", then {goal}" if goal != state else ""
    return Probe(
        name=f"{call} when {state}",
        group="state",
        assumes=f"{said}{then}",
        calls=f"{call} of a machine that is {state}, GET",
        attempt=attempt,
        machines=int(state == "created" or goal == "destroyed"),
    )


async def _settled(lab: Laboratory, machine_id: str, goal: str) -> str:
    """Return `goal` once the machine is in that state, else the state it stays in."""
    try:
        return str((await lab.until_state(machine_id, goal, within_s=_SETTLES_S))["state"])
    except UntriedError:
        return await lab.state(machine_id)


async def _has_started_since(lab: Laboratory, machine_id: str, started: str | None) -> bool:
    for _ in range(20):
        if await lab.newest(machine_id, "start") != started:
            await lab.until_state(machine_id, "started")
            return True
        await lab.clock.sleep(0.5)
    return False


STATES: Final = (
    *(_probe(call, state) for state, calls in ROWS.items() for call in calls),
    *(_probe(call, state) for state, call in ENDS),
)
