"""Machines that share what they have in common are the machines that they were."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.canonical.digest import live_digest
from reconciler.machines_api import compact
from reconciler.machines_api.compact import Compactor
from reconciler.machines_api.wire import machine_from_json, machines_from_json
from reconciler.model.machine import Machine


def machine(name: str, **config: Any) -> Machine:
    document = {"image": "i", "metadata": {"reconciler_slot": name, "own": "x"}, "env": {"A": "1"}} | config
    return machine_from_json("app", {"id": f"id{name}", "name": name, "region": "iad", "config": document})


def test_a_machine_is_equal_to_what_it_was() -> None:
    whole = [machine("a"), machine("b"), machine("c", metadata={}), machine("d", env={}), machine("e", metadata=None)]
    compactor = Compactor()
    compact = [compactor.compact(one) for one in whole]
    assert compact == whole
    for before, after in zip(whole, compact, strict=True):
        assert before.config
        assert after.config
        assert dict(after.config.document) == before.config.document
        assert after.metadata == before.metadata
        assert live_digest(after.config) == live_digest(before.config)
        assert after.config.with_metadata({"x": "y"}) == before.config.with_metadata({"x": "y"})
        assert [*after.config.document] == [*before.config.document]
        assert len(after.config.document) == len(before.config.document)
        assert copy.deepcopy(after) == before


def test_what_is_equal_is_held_once() -> None:
    compactor = Compactor()
    first, second = (compactor.compact(machine(name)) for name in "ab")
    assert first.config
    assert second.config
    assert first.config.document["env"] is second.config.document["env"]
    assert first.metadata["reconciler_slot"] == "a"
    assert second.metadata["reconciler_slot"] == "b"


def test_what_equal_machines_of_a_page_share_is_digested_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    digested: list[object] = []

    def counted(value: object, real: Callable[[object], bytes] = compact._digest) -> bytes:
        digested.append(value)
        return real(value)

    def digests_of(count: int) -> int:
        digested.clear()
        compactor = Compactor()
        for page in range(2):
            names = [f"{page}-{number}" for number in range(count)]
            configs = [{"env": {"A": "1"}, "metadata": {"own": name}} for name in names]
            listed = [{"id": name, "config": config} for name, config in zip(names, configs, strict=True)]
            for one in machines_from_json("app", listed):
                compactor.compact(one)
        return len(digested)

    monkeypatch.setattr(compact, "_digest", counted)
    assert digests_of(1) == digests_of(50) == 2 + 2  # the config of each page, and of the first its two sections


def test_a_machine_without_config_stays_without() -> None:
    dark = machine_from_json("app", {"id": "a", "name": "a", "host_status": "unreachable"})
    assert Compactor().compact(dark) == dark


def test_texts_of_metadata_are_shared_unless_they_are_of_one_machine() -> None:
    def told(name: str) -> dict[str, str]:
        return {
            "reconciler_r0": f"run of {name}",
            "own": "x" * 9,
            "reconciler_slot": name,
            "reconciler_attempt": name * 9,
        }

    compactor = Compactor()
    compact = [compactor.compact(machine(name, metadata=told(name))) for name in "ab"]
    assert [list(one.metadata.items()) for one in compact] == [list(told(name).items()) for name in "ab"]
    first, second = (one.metadata for one in compact)
    assert first["own"] is second["own"]
    assert compact[0].metadata["reconciler_slot"] is compact[0].name
    assert not compactor._texts.keys() & {first["reconciler_r0"], first["reconciler_attempt"]}
