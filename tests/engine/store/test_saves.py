"""What the store writes when the record of a machine changes."""

from pathlib import Path

from msgspec.structs import replace

from reconciler.engine.models import Machine
from reconciler.engine.store.store import Store

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
