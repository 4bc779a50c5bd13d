"""No secret shows: neither in the repr of a value, nor where rich shows it, nor in what holds it."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

import reconciler
from reconciler.engine.models import Lease as EngineLease
from reconciler.hidden import HidesFields
from reconciler.model.change import Cause, FieldChange
from reconciler.model.config import MachineConfig
from reconciler.model.secret import Secret

CANARY = "canary-value"
VALUES = [
    Secret(CANARY),
    FieldChange(path="env.A", observed=CANARY, desired=CANARY, cause=Cause.SPEC, is_secret=True),
    MachineConfig(document={"env": {"A": CANARY}}),
    EngineLease(nonce=CANARY, owner="me", description="", expires_at=1.0, version="1"),
]


def structs() -> Iterator[type[Struct]]:
    """Every class of ours that is a `Struct`."""
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting: list[type[Struct]] = [Struct]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__module__.startswith("reconciler."):
                yield one


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_that_holds_a_secret_never_shows_it(value: HidesFields) -> None:
    for shown in (repr(value), str(value), f"{value}", pretty_repr(value), pretty_repr([{"one": value}])):
        assert CANARY not in shown
        assert type(value).__name__ in shown


def test_what_is_not_hidden_shows() -> None:
    class Call(HidesFields, frozen=True, kw_only=True):
        _hidden = frozenset({"body"})

        path: str
        body: str
        tries: int = 1

    assert repr(Call(path="/a", body=CANARY)).endswith("Call(path='/a', tries=1)")


def test_rich_shows_a_class_with_a_repr_of_its_own_by_that() -> None:
    own = [one for one in structs() if one.__repr__ not in {Struct.__repr__, HidesFields.__repr__}]
    assert own
    assert [one for one in own if not issubclass(one, HidesFields)] == []


def test_what_is_hidden_is_a_field() -> None:
    hiding = [one for one in structs() if issubclass(one, HidesFields) and one._hidden]
    assert hiding
    assert [one for one in hiding if not one._hidden <= set(one.__struct_fields__)] == []
