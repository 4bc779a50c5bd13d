"""Slots, their names and the anchor follow from a pool alone."""

from reconciler.model.config import MachineConfig
from reconciler.model.secret import Secret
from reconciler.model.spec import Pool, PoolKind


def pool(counts: dict[str, int]) -> Pool:
    config = MachineConfig(document={"image": "i", "env": {"KEY": "canary"}})
    return Pool(app="a", name="task", kind=PoolKind.TASK, counts=counts, config=config)


def test_slots_are_named_after_pool_region_and_number() -> None:
    assert [slot.name for slot in pool({"iad": 2, "ams": 1}).slots] == ["task-iad-0", "task-iad-1", "task-ams-0"]
    assert pool({"iad": 1}).slots[0].address == "a/task-iad-0"


def test_the_anchor_is_the_smallest_number_then_region() -> None:
    anchor = pool({"iad": 2, "ams": 1}).anchor
    assert anchor is not None
    assert anchor.name == "task-ams-0"
    assert pool({"iad": 0}).anchor is None


def test_values_do_not_show_in_a_repr() -> None:
    assert "canary" not in repr(pool({"iad": 1}))
    assert "canary" not in f"{Secret('canary')} {Secret('canary')!r}"
