"""Which machines come with all their events."""

import pytest

from reconciler.machines_api.more_events import has_all_events
from reconciler.model.machine import Event, Machine, MachineState


def event(kind: str, source: str) -> Event:
    return Event(id=kind, type=kind, status="", source=source, timestamp_ms=0)


@pytest.mark.parametrize(
    ("events", "has_all"),
    [
        ([event("exit", "flyd"), event("start", "user"), event("launch", "user")], True),
        ([event("launch", "user"), event("exit", "flyd")], False),
        ([event("exit", "flyd"), event("launch", "flyd")], False),  # it was migrated, and has older events
        ([], False),
    ],
)
def test_a_machine_comes_with_all_its_events_if_its_creation_is_the_oldest(events: list[Event], has_all: bool) -> None:
    machine = Machine(
        app="a",
        id="m",
        name="n",
        state=MachineState.STOPPED,
        region="iad",
        version="1",
        config=None,
        events=tuple(events),
    )
    assert has_all_events(machine) is has_all
