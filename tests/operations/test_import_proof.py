"""The first plan of an imported spec takes every machine over as it is, whatever its config holds."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.canonical.normalize import canonical
from reconciler.drafts.names import pool_names
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Observed
from reconciler.operations.import_proof import disproof
from reconciler.spec import load_spec
from tests.support.config_properties import PROPERTIES, Property
from tests.support.live_apps import IMAGE, fly_metadata, machine_json, observed, proven, web_config, worker_config

SERVING = {"services": [{"protocol": "tcp", "internal_port": 8080}]}
VALUES = {"schedule": ("daily", "hourly")}
OF_A_SERVICE = "auto_destroy"  # a machine of a task is kept


def joined(first: Any, second: Any) -> Any:
    """Both documents in one; where both say a leaf, the second counts, and the first items of lists are joined."""
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: joined(first[key], second[key]) for key in first.keys() & second.keys()}
        return {**first, **second, **shared}
    if isinstance(first, list) and isinstance(second, list) and first and second and isinstance(first[0], dict):
        return [joined(first[0], second[0]), *second[1:]]
    return second


def config_of(*settings: tuple[Property, int]) -> dict[str, Any]:
    config: dict[str, Any] = {"image": IMAGE}
    for one, number in settings:
        value = VALUES.get(one.path, one.values)[number % len(one.values)]
        config = joined(config, one.document(value))
    if isinstance(config["image"], str) and "@" not in config["image"]:
        config["image"] = IMAGE
    return config


def names_of(number: int) -> str:
    return f"shop-iad-{number}"


@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.path)
def test_each_setting_of_the_api_is_in_the_spec(one: Property) -> None:
    for number, value in enumerate(one.values):
        config = config_of((one, number))
        if one.path == OF_A_SERVICE:
            config |= SERVING
        seen = observed([machine_json(1, config, name=names_of(0))])
        _text, spec = proven(seen)
        (pool,) = spec.pools
        assert canonical(pool.config) == canonical(MachineConfig(document=config)), value


SHOWN = {  # names of places and content, which are no secrets
    *("image", "containers[].image", "mounts[].volume", "schedule", "checks.*.headers[].name"),
    *("files[].guest_path", "containers[].files[].guest_path", "statics[].guest_path"),
}
TEXTS = [one for one in PROPERTIES if one.kind == "string" and one.path not in SHOWN]


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.path)
def test_a_token_in_any_setting_is_left_out(one: Property) -> None:
    token = "ghp_" + "abcdefghij" * 3
    seen = observed([machine_json(1, joined({"image": IMAGE}, one.document(token)))])
    text, _spec = proven(seen)
    assert token not in text


REGIONS = st.sampled_from(["iad", "ams", "bos"])
MANY = st.lists(st.tuples(st.sampled_from([one for one in PROPERTIES if one.path != OF_A_SERVICE]), st.integers(0, 1)))


@given(st.lists(MANY, min_size=1, max_size=4), st.data())
@settings(max_examples=40)
def test_random_machines_are_taken_over_as_they_are(
    configs: list[list[tuple[Property, int]]], data: st.DataObject
) -> None:
    machines = []
    for number, chosen in enumerate(configs):
        config = config_of(*chosen)
        if config.get("schedule"):
            config = {key: value for key, value in config.items() if key not in {"services", "checks"}}
        for mount in config.get("mounts", ()):
            mount["volume"] = f"vol_{number}"  # a volume has one machine
        group = data.draw(st.sampled_from(["app", "web", ""]))
        config["metadata"] = config.get("metadata", {}) | (fly_metadata(group) if group else {})
        state = data.draw(st.sampled_from(["started", "stopped", "suspended", "created", "failed"]))
        machines.append(machine_json(number, config, state=state, region=data.draw(REGIONS)))
    proven(observed(machines))


def test_two_hundred_machines_are_one_pool() -> None:
    states = ["started", "stopped"]
    machines = [machine_json(number, web_config(), state=states[number % 2]) for number in range(200)]
    text, spec = proven(observed(machines))
    assert ([*spec.pools[0].counts.items()], len(spec.pools)) == ([("iad", 200)], 1)
    assert text.count("weathered-frog-") == 200


def disproved(seen: Observed, text: str) -> str:
    """Why this is not the spec of the machines, in words; empty if it is."""
    spec = load_spec(text, file="machines.yaml", environment={})
    return "; ".join(disproof(spec, seen, [one.id for one in seen.machines]))


@pytest.mark.parametrize(
    ("written", "instead", "why"),
    [
        ("", "", ""),
        ("production", "staging", "shop/worker-iad-0 would be changed: no spec says env.APP_ENV as it is"),
        ("iad: 2", "iad: 3", "shop/worker-iad-2 would be changed by its first plan (create: not there)"),
        ("iad: 2", "iad: 1", "machine worker-iad-1 (e0000000000001) would not be taken over"),
        ("services:", "tasks:", ""),
    ],
)
def test_the_proof_finds_what_else_a_plan_does(written: str, instead: str, why: str) -> None:
    machines = [machine_json(number, worker_config(), name=f"worker-iad-{number}") for number in (0, 1)]
    text, _spec = proven(observed(machines))
    found = disproved(observed(machines), text.replace(written, instead))
    assert why in found
    assert bool(found) is bool(why)


def test_the_proof_finds_what_a_plan_starts_or_is_refused_for() -> None:
    machines = [machine_json(number, worker_config(), name=f"worker-iad-{number}") for number in (0, 1)]
    text, _spec = proven(observed(machines))
    resting = observed([machines[0], machines[1] | {"state": "stopped"}])
    assert disproved(resting, text) == "shop/worker-iad-1 would be started"
    taken = observed([machines[0], machines[1] | {"config": {"metadata": {"reconciler_stack": "other"}}}])
    assert "a plan of it would be refused: shop/worker-iad-1: the name is held by machine" in disproved(taken, text)


MADE_BY_FLYCTL = json.loads((Path(__file__).parents[1] / "cases/fly-toml/expected.json").read_text())


@pytest.mark.parametrize("file", MADE_BY_FLYCTL)
def test_what_flyctl_makes_of_a_fly_toml_is_taken_over(file: str) -> None:
    made = MADE_BY_FLYCTL[file]
    machines = []
    for number, (group, config) in enumerate(made["groups"].items()):
        whole = config | {"image": IMAGE, "metadata": fly_metadata(group)}
        for mount in whole.get("mounts", ()):
            mount["volume"] = f"vol_{number}"
        machines += [machine_json(10 * number + at, whole) for at in range(1 if "mounts" in whole else 2)]
    text, spec = proven(observed(machines))
    assert sorted(pool.name for pool in spec.pools) == sorted(pool_names(made["groups"]).values())
    assert "slots: {iad: [weathered-frog-7000" in text
