"""Probe the documented assumptions about starts, exits, events, waits and checks.

They are in docs/explanation/protocols.md.
"""

from typing import Any, Final

from reconciler.conformance import probe
from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import expect, needs
from reconciler.conformance.reading import exit_of, since, version_of
from reconciler.errors import ApiErrorKind
from reconciler.machines_api.values import list_of

_WAIT_S: Final = 3
_LATE_S: Final = 10.0
_PAUSE_S: Final = 0.25
_EMBEDDED_OF: Final = 8  # so many events that not all come with the machine
_INTERVAL_S: Final = 10
_REPORTS_WITHIN_S: Final = 60.0
_SLACK_S: Final = 3.0
_CHECK: Final = {"type": "tcp", "port": 8080, "interval": f"{_INTERVAL_S}s", "timeout": "2s", "grace_period": "1s"}


async def _ran(lab: Laboratory) -> tuple[str, dict[str, Any], frozenset[str]]:
    """Run the short command once.

    Return the machine's id, the machine at the first look that shows it stopped after that start, and the events that
    were there before.
    """
    machine_id = await lab.resting("short")
    known = await lab.known_events(machine_id)
    await lab.start(machine_id)

    def has_stopped(machine: dict[str, Any]) -> bool:
        types = [one.get("type") for one in since(list_of(machine.get("events")), known)]
        return machine.get("state") == "stopped" and bool({"start", "exit"} & {*types})

    return machine_id, await lab.until(machine_id, has_stopped, "stopped after its run"), known


async def _over(lab: Laboratory) -> tuple[str, dict[str, Any]]:
    """Run the short command once, and wait for its exit event.

    Return the machine's id, and the machine.
    """
    machine_id, _machine, known = await _ran(lab)
    deadline = lab.clock.monotonic() + _LATE_S
    while not any(exit_of(one) for one in since(await lab.events(machine_id), known)):
        needs(lab.clock.monotonic() < deadline, "the run leaves no exit event")
        await lab.clock.sleep(_PAUSE_S)
    return machine_id, await lab.look(machine_id)


async def _wait_from_event(lab: Laboratory) -> str:
    machine_id, machine = await _over(lab)
    newest = next((str(one.get("id")) for one in await lab.events(machine_id)), "")
    query = {"state": "stopped", "timeout": _WAIT_S, "version": version_of(machine), "from_event_id": newest}
    answer = await lab.ask("GET", "/wait", machine_id, query=query, timeout_s=_WAIT_S + 10)
    expect(not answer.is_success, f"a wait for a state that was entered before ends at once: {answer.words}")
    return expect(answer.kind is ApiErrorKind.WAIT_EXPIRED, answer.words)


async def _bare_delete(lab: Laboratory) -> str:
    machine_id = await lab.in_state("started")
    answer = await lab.ask("DELETE", "", machine_id)
    state = await lab.state(machine_id)
    expect(not answer.is_success and state == "started", f"{answer.words}, and the machine is {state}")
    return expect(answer.kind is ApiErrorKind.STILL_RUNNING, answer.words)


async def _previous_state(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    first = (await lab.start(machine_id)).members.get("previous_state")
    expect(first == "stopped", f"the start of a stopped machine says {first!r}")
    await lab.until_state(machine_id, "started")
    again = await lab.ask("POST", "/start", machine_id)
    if not again.is_success:
        return f"`stopped`; the start of a started machine answers {again.words}"
    second = again.members.get("previous_state")
    return expect(second == "started", f"`stopped`; then, of a started machine, {second!r}")


async def _exit_with_stopped(lab: Laboratory) -> str:
    machine_id, machine, known = await _ran(lab)
    first_at = lab.clock.monotonic()
    if any(exit_of(one) for one in since(list_of(machine.get("events")), known)):
        return "the exit is there at the first look that shows `stopped`"
    while lab.clock.monotonic() < first_at + _LATE_S:
        if any(exit_of(one) for one in since(await lab.events(machine_id), known)):
            expect(False, f"the exit event came {lab.clock.monotonic() - first_at:.1f} s after `stopped`")
        await lab.clock.sleep(_PAUSE_S)
    return expect(False, f"no exit event {_LATE_S:g} s after `stopped`")


async def _event_order(lab: Laboratory) -> str:
    machine_id, _machine = await _over(lab)
    events = await lab.events(machine_id)
    ids = [str(one.get("id")) for one in events]
    expect(len(ids) == len(set(ids)) and all(ids), "event ids are missing, or not unique")
    times = [time for one in events if isinstance(time := one.get("timestamp"), int | float)]
    needs(len(times) == len(events), "events have no time to compare")
    expect(times == sorted(times, reverse=True), "the list of events is not newest first")
    types = [one.get("type") for one in events]
    needs("exit" in types and "start" in types, f"a run left the events {', '.join(map(str, types))}")
    expect(types.index("exit") < types.index("start"), "a start is listed above the exit that followed it")
    return f"newest first; the ids have {'an' if ids == sorted(ids, reverse=True) else 'no'} order"


async def _embedded_events(lab: Laboratory) -> str:
    machine_id, machine = await _over(lab)
    for _ in range(_EMBEDDED_OF):
        if len(await lab.events(machine_id)) >= _EMBEDDED_OF:
            break
        machine_id, machine = await _over(lab)
    all_ids = [one.get("id") for one in await lab.events(machine_id)]
    ids = [one.get("id") for one in list_of(machine.get("events")) if isinstance(one, dict)]
    expect(ids, "a machine comes without events")
    is_newest = ids == all_ids[: len(ids)]
    seen = f"{len(ids)} of {len(all_ids)} events come with the machine"
    return expect(is_newest, f"{seen}, its newest" if is_newest else f"{seen}, and they are not its newest")


async def _reports_after_metadata(lab: Laboratory) -> str:
    """Try whether META only interrupts the reports of checks (A18)."""
    machine = await lab.create("long", checks={"conform": _CHECK})
    machine_id = str(machine["id"])
    try:
        await lab.until_state(machine_id, "stopped", "created")
        await lab.start(machine_id)
        await lab.until_state(machine_id, "started")
        reported = lambda machine: list_of(machine.get("checks"))  # noqa: E731
        await lab.until(machine_id, reported, "with a report of its check", within_s=_REPORTS_WITHIN_S)
        written = await lab.ask("POST", "/metadata/conform_check", machine_id, body={"value": "x"})
        needs(written.is_success, f"no metadata can be written: {written.words}")
        began, was_empty = lab.clock.monotonic(), False
        while True:
            is_there = bool(list_of((await lab.look(machine_id)).get("checks")))
            was_empty = was_empty or not is_there
            after_s = lab.clock.monotonic() - began
            if is_there and (was_empty or after_s > _INTERVAL_S):
                return f"reports are back after {after_s:.0f} s" if was_empty else "reports were never gone"
            expect(
                after_s <= _INTERVAL_S + _SLACK_S,
                f"no report {after_s:.0f} s after META, at an interval of {_INTERVAL_S} s",
            )
            await lab.clock.sleep(0.5)
    finally:
        await lab.ask("DELETE", "", machine_id, query={"force": "true"})


RUN_ASSUMPTIONS: Final = (
    probe.assumption(
        "A3",
        "WAIT with `from_event_id` ends only for states that were entered later",
        "a run, WAIT stopped from its last event",
        _wait_from_event,
        machines=1,
    ),
    probe.assumption(
        "A8",
        "DELETE without `force` is refused while the machine runs",
        "DELETE of a started machine, GET",
        _bare_delete,
    ),
    probe.assumption("A9", "`previous_state` is the state that this very START found", "START, START", _previous_state),
    probe.assumption(
        "A14", "the exit event comes together with `stopped`", "START, GET until it has stopped", _exit_with_stopped
    ),
    probe.assumption(
        "A15", "event ids are opaque; only their order in the list counts", "a run, GET events", _event_order
    ),
    probe.assumption(
        "A17", "a machine comes with its newest events, without a gap", "runs, GET, GET events", _embedded_events
    ),
    probe.assumption(
        "A18",
        "after META on a started machine with checks its reports are back within one interval",
        "CREATE with a check, START, META, GET",
        _reports_after_metadata,
        machines=1,
    ),
)
