"""The API's JSON is read tolerantly: nothing that a server may leave out, null or invent brings us down."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.invoke.outcome import outcome_of
from reconciler.machines_api import wire
from reconciler.machines_api.events import events_from_json
from reconciler.machines_api.logs import logs_from_json
from reconciler.machines_api.values import MalformedError, time_of
from reconciler.model.machine import Exit, HostStatus, MachineState

NAMED = {"id": "1", "name": "work-iad-0", "region": "iad"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = [
    "id",
    "name",
    "state",
    "region",
    "instance_id",
    "version",
    "config",
    "created_at",
    "image_ref",
    "events",
    "checks",
    "host_status",
    "env",
    "metadata",
    "request",
    "exit_event",
    "MonitorEvent",
    "exit_code",
    "timestamp",
    "type",
    "data",
    "nonce",
    "expires_at",
    "attributes",
    "meta",
    "event",
    "next_token",
    "machines",
    "next_cursor",
    "app_name",
]
SHAPED = st.recursive(
    JSON,
    lambda inner: st.dictionaries(st.sampled_from(KNOWN), inner, max_size=8) | st.lists(inner, max_size=3),
    max_leaves=25,
)


@given(SHAPED)
def test_any_json_is_read_or_refused_as_malformed(value: object) -> None:
    for read in (
        lambda: wire.machines_from_json("app", value),
        lambda: wire.machine_from_json("app", value),
        lambda: wire.machine_from_json("app", {"id": "1", "config": value, "events": value, "checks": value}),
        lambda: events_from_json([{"type": "exit", "request": value, "timestamp": value}]),
        lambda: wire.lease_from_json(value),
        lambda: logs_from_json(value),
        lambda: wire.app_from_json(value),
    ):
        with suppress(MalformedError):
            read()


def exit_of(request: object) -> object:
    [event] = events_from_json([{"id": "1", "type": "exit", "status": "stopped", "request": request}])
    return event.exit


def test_a_missing_exit_code_is_zero_and_a_missing_exit_is_none() -> None:
    assert exit_of(None) is None
    assert exit_of({"restart_count": 1}) is None
    found = Exit(code=0)
    assert exit_of({"exit_event": {"signal": -1, "guest_signal": -1}}) == found


def test_the_monitors_exit_is_preferred() -> None:
    request = {"exit_event": {"exit_code": 1}, "MonitorEvent": {"exit_event": {"exit_code": 7, "oom_killed": True}}}
    assert exit_of(request) == Exit(code=7, oom_killed=True)


@pytest.mark.parametrize("code", [True, False, 3.0, 0.0, "3", "0", None, [], {}, 2**32, -(2**40)])
@pytest.mark.parametrize("other", [{}, {"guest_exit_code": 0}, {"guest_exit_code": 0, "signal": -1}])
def test_a_code_that_is_there_and_no_integer_is_not_understood(code: object, other: dict[str, object]) -> None:
    found = exit_of({"exit_event": {"exit_code": code, **other}})
    assert isinstance(found, Exit)
    assert not found.is_known
    assert outcome_of(found).exit_code == 122


@pytest.mark.parametrize("member", ["guest_exit_code", "signal", "guest_signal", "oom_killed", "requested_stop"])
def test_no_member_of_the_wrong_type_makes_a_success(member: str) -> None:
    found = exit_of({"exit_event": {"exit_code": 0, member: "x"}})
    assert isinstance(found, Exit)
    assert outcome_of(found).exit_code == 122


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"exit_code": 256}, Exit(code=256)),
        ({"exit_code": 137, "guest_exit_code": 0, "guest_signal": 9}, Exit(code=137, signal=9)),  # the kernel killed it
        ({"exit_code": 0, "guest_exit_code": 3}, Exit(code=3)),
        ({"guest_exit_code": 3}, Exit(code=3)),
        ({"exit_code": 4, "guest_exit_code": None, "signal": None}, Exit(code=4)),
        ({"exit_code": -3}, Exit(code=-3)),
        ({"exit_code": 0, "signal": 15, "guest_signal": -1}, Exit(code=0, signal=15)),
    ],
)
def test_the_code_counts_and_the_guests_fills_in(members: dict[str, object], expected: Exit) -> None:
    assert exit_of({"exit_event": members}) == expected


def test_unknown_words_are_unknown_and_never_running() -> None:
    machine = wire.machine_from_json("app", {"id": "1", "state": "pondering", "host_status": "on fire"})
    assert machine.state is MachineState.UNKNOWN
    assert machine.host_status is HostStatus.UNKNOWN
    assert machine.config is None
    assert not machine.is_observable


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1767225600, 1767225600.0),
        (1767225600123, 1767225600.123),
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T01:00:00+01:00", 1767225600.0),
        ("2026-01-01 00:00:00 +0000 UTC", 1767225600.0),
        ("never", None),
        (True, None),
        (1e300, None),
        (float("nan"), None),
        ("0001-01-01T00:00:00+23:00", None),
        ("9999-12-31T23:59:59-23:00", None),
    ],
)
def test_times_come_in_several_spellings(value: object, seconds: float | None) -> None:
    at = time_of(value)
    assert (at and at.timestamp()) == seconds


@pytest.mark.parametrize("timestamp", [9e14, -1, float("inf"), float("nan"), 10**400, "²", None, [], 253402300799999])
def test_the_time_of_any_event_can_be_told(timestamp: object) -> None:
    [event] = events_from_json([{"id": "1", "type": "start", "timestamp": timestamp}])
    assert event.at.year in {1970, 9999}


@pytest.mark.parametrize("section", ["image", "env", "checks", "guest", "restart", "services", "files", "processes"])
def test_a_config_of_wrong_types_is_not_observed_and_null_is_absent(section: str) -> None:
    for junk, is_observable in ((3, False), ([1], False), (True, False), (None, True)):
        machine = wire.machine_from_json("app", NAMED | {"config": {"image": "i", section: junk}})
        assert machine.is_observable == is_observable


def test_config_that_we_do_not_know_rides_along() -> None:
    document = {"image": "i", "containers": [{"name": "a", "new_thing": [1]}], "brand_new": {"x": None}}
    machine = wire.machine_from_json("app", {"id": "1", "config": document})
    assert machine.config
    assert dict(machine.config.document) == document


def test_a_member_of_a_list_hides_no_other() -> None:
    listed = [NAMED, None, {"id": 3, "name": "other"}, NAMED | {"id": "../2"}, NAMED, {"id": "2"}]
    found = wire.machines_from_json("app", listed)
    assert [(one.id, one.name, one.not_understood) for one in found] == [
        ("1", "work-iad-0", ()),
        ("", "", ("id",)),
        ("", "other", ("id",)),
        ("", "work-iad-0", ("id",)),
        ("2", "", ("name", "region")),
    ]
    assert [one.is_anonymous for one in found] == [False, True, False, False, True]


def test_one_machine_is_the_one_that_was_asked_for() -> None:
    for asked in ({"machine_id": "2"}, {"name": "other"}):
        with pytest.raises(MalformedError):
            wire.machine_from_json("app", NAMED, **asked)
    assert wire.machine_from_json("app", NAMED, machine_id="1", name="work-iad-0").id == "1"


@pytest.mark.parametrize("nonce", [None, "", 3, "a\r\nb", "é", "a b", "x" * 1001])
def test_a_nonce_that_cannot_be_sent_is_none(nonce: object) -> None:
    with pytest.raises(MalformedError):
        wire.lease_from_json({"nonce": nonce})


def test_lines_without_an_id_are_told_apart() -> None:
    lines: list[dict[str, Any]] = [
        {"attributes": {"timestamp": 1, "message": text, "meta": {"stream": {}}}} for text in ("a", "b")
    ]
    page = logs_from_json({"data": lines, "meta": {"next_token": {}}})
    assert len({line.id for line in page.lines}) == 2
    assert page.next_token is None


def test_a_count_of_machines_that_is_no_number_is_no_reason_to_believe_an_empty_list() -> None:
    counts: tuple[Any, ...] = ("3", True, 1.5, [])
    for count in counts:
        with pytest.raises(MalformedError):
            wire.app_from_json({"machine_count": count})


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ({"version": "B", "instance_id": "A"}, "B"),
        ({"version": "B"}, "B"),
        ({"instance_id": "A"}, "A"),
        ({"version": None, "instance_id": "A"}, "A"),
        ({}, ""),
    ],
)
def test_a_machines_version_is_read_by_its_older_name_too(told: dict[str, object], version: str) -> None:
    assert wire.machine_from_json("app", NAMED | told).version == version
