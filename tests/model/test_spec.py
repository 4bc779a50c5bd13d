"""Slots, their names and the anchor follow from a pool alone."""

from typing import Any

from msgspec.structs import replace

from reconciler.images.wire import Answer
from reconciler.machines_api.calls import Call
from reconciler.model.change import Cause, FieldChange
from reconciler.model.config import MachineConfig
from reconciler.model.secret import Masked, Secret
from reconciler.model.spec import Pool, PoolKind
from reconciler.operations.session import Session
from reconciler.operations.spec_files import SpecSource
from reconciler.spec.yaml_nodes import Scalar
from reconciler.targets import Target


def pool(counts: dict[str, int]) -> Pool:
    config = MachineConfig(document={"image": "i", "env": {"KEY": "canary"}})
    return Pool(app="a", name="task", kind=PoolKind.TASK, counts=counts, config=config)


def field(path: str, observed: object, desired: object, *, is_secret: bool = False) -> FieldChange:
    return FieldChange(path=path, observed=observed, desired=desired, cause=Cause.SPEC, is_secret=is_secret)


def test_slots_are_named_after_pool_region_and_number() -> None:
    assert [slot.name for slot in pool({"iad": 2, "ams": 1}).slots] == ["task-iad-0", "task-iad-1", "task-ams-0"]
    assert pool({"iad": 1}).slots[0].address == "a/task-iad-0"


def test_the_slots_of_a_pool_are_made_once() -> None:
    one = pool({"iad": 2})
    assert one.slots is one.slots
    assert len(replace(one, counts={"iad": 3}).slots) == 3


def test_the_anchor_is_the_smallest_number_then_region() -> None:
    anchor = pool({"iad": 2, "ams": 1}).anchor
    assert anchor is not None
    assert anchor.name == "task-ams-0"
    assert pool({"iad": 0}).anchor is None


def test_values_do_not_show_in_a_repr() -> None:
    assert "canary" not in repr(pool({"iad": 1}))
    assert "canary" not in f"{Secret('canary')} {Secret('canary')!r}"


def test_secret_values_do_not_show_in_the_repr_of_a_changed_field() -> None:
    header = [{"name": "Authorization", "values": ["canary"]}]
    fields = (
        field("env.KEY", "canary-before", "canary-after", is_secret=True),
        field("env.KEY", None, "canary", is_secret=True),
        field("files[0].raw_value", ["canary"], {"canary": "canary"}, is_secret=True),
        field("checks.up", None, {"headers": header, "port": 80}),
        field("services", [{"checks": [{"headers": header}]}], []),
    )
    assert "canary" not in repr(fields)
    assert repr(fields[1]) == "FieldChange(path='env.KEY', observed=None, desired=***, cause=Cause.SPEC)"
    assert "desired={'headers', 'port'}" in repr(fields[3])
    assert "observed=['run'], desired=['run', '60']" in repr(field("init.cmd", ["run"], ["run", "60"]))
    assert "(masked, 01234567)" in repr(field("env.KEY", None, Masked("(masked, 01234567)"), is_secret=True))


def test_variables_and_bodies_do_not_show_in_a_repr() -> None:
    variables = {"FLY_API_TOKEN": "canary"}
    token = Secret("canary")
    target = Target(name="fly", base_url="", logs_url="", token=token, is_paced=False, log_delay_s=0.0)
    context: Any = None
    call = Call(method="POST", path="/", what="", action="", identifier="", body=variables, nonce=token)
    values = (
        SpecSource(environment=variables),
        Session(context=context, target=target, environment=variables),
        Answer(status=200, content=b'{"token": "canary"}'),
        call,
        Scalar(file="", line=1, column=1, text="canary", is_plain=True),
    )
    assert "canary" not in repr(values)
