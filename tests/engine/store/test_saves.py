"""What the store writes when the record of a machine changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from reconciler.engine.models import Event, Lease, Machine
from reconciler.engine.store.store import Store, json_of

_WAL_HEADER = 32
_FRAME = 24 + 4096


def machine(number: int) -> Machine:
    return Machine(
        id=f"{number:014x}",
        app="app",
        name=f"m-{number}",
        region="ams",
        state="created",
        instance_id="01",
        config={"image": "i"},
        created_ms=number,
        updated_ms=number,
    )


def test_a_change_of_a_machine_writes_one_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "engine.db")
    machines = [store.save(machine(number)) for number in range(100)]
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.save(replace(machines[50], state="started"))
    written = (tmp_path / "engine.db-wal").stat().st_size
    store.close()
    assert written == _WAL_HEADER + _FRAME


def test_machines_stay_in_their_order_over_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "engine.db")
    first, *_ = [store.save(machine(number)) for number in (3, 1, 2)]
    store.save(replace(first, state="started"))
    before = [*store.machines("app")]
    store.close()
    again = Store(tmp_path / "engine.db")
    assert [*again.machines("app")] == before
    assert [one.name for one in before] == ["m-3", "m-1", "m-2"]
    again.close()


@pytest.mark.parametrize(
    "kept",
    ["é 😀 \0 \u2028", "\ud800 alone", 2**80, -(2**63), 1.5, 1e300, [], {"": None}, [True, [{"a": [1]}]]],
    ids=lambda one: ascii(one)[:20],
)
def test_a_record_is_the_json_that_earlier_versions_read(kept: Any) -> None:
    lease = Lease(nonce="n", expires_at=1.25, owner="o", description="d", version="1")
    event = Event(id="1", type="exit", status="stopped", source="flyd", timestamp_ms=1, request={"exit_event": kept})
    record = replace(machine(1), config={"image": "i", "env": kept}, pids=((1, 2),), lease=lease, events=(event,))
    assert json.loads(json_of(record)) == json.loads(json.dumps(record, default=asdict))
