"""A config comes back filled in and respelled; to the planner it is the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.normalize import canonical
from reconciler.engine.config.defaults import as_reported, go_duration, nanoseconds
from reconciler.model.config import MachineConfig
from reconciler.planner.diff import Differ


@pytest.mark.parametrize(
    ("sent", "path", "expected"),
    [
        ({}, ("init",), {}),
        ({}, ("dns",), {}),
        ({}, ("guest",), {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}),
        ({"size": "performance-2x"}, ("guest",), {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096}),
        ({"guest": {"gpus": 1}}, ("guest",), {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "gpus": 1}),
        ({"init": {"cmd": ["a"]}}, ("init", "exec"), None),
        ({"services": [{"autostop": "stop"}]}, ("services", 0, "autostop"), True),
        ({"services": [{"autostop": "off"}]}, ("services", 0, "autostop"), False),
        ({"services": [{"autostop": "suspend"}]}, ("services", 0, "autostop"), "suspend"),
        ({"services": [{}]}, ("services", 0, "force_instance_key"), None),
        ({"services": [{"checks": [{"interval": "5m"}]}]}, ("services", 0, "checks", 0, "interval"), "1m0s"),
        ({"checks": {"up": {"interval": "300s"}}}, ("checks", "up", "interval"), "5m0s"),
        ({"checks": {"up": {"timeout": 2_500_000_000}}}, ("checks", "up", "timeout"), "2.5s"),
        ({"stop_config": {"timeout": "90s"}}, ("stop_config", "timeout"), "1m30s"),
        ({"mounts": [{"volume": "v", "path": "/d"}]}, ("mounts", 0, "encrypted"), True),
        ({"mounts": [{"volume": "v", "path": "/d", "size_gb": 9}]}, ("mounts", 0, "size_gb"), 9),
        ({"image": "short"}, ("image",), "short"),
        ({"containers": [{"image": "c"}]}, ("image",), "c"),
        ({"never_heard_of": {"a": [1]}}, ("never_heard_of",), {"a": [1]}),
    ],
)
def test_each_difference_that_was_seen_on_the_platform(
    sent: dict[str, Any], path: tuple[Any, ...], expected: Any
) -> None:
    value: Any = as_reported(sent)
    for part in path:
        value = value[part]
    assert value == expected


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (250_000_000, "250ms"),
        (10**9, "1s"),
        (60 * 10**9, "1m0s"),
        (3600 * 10**9, "1h0m0s"),
        (3723_500_000_000, "1h2m3.5s"),
    ],
)
def test_durations_are_spelled_as_go_spells_them(ns: int, text: str) -> None:
    assert go_duration(ns) == text


@given(st.integers(0, 10**15))
def test_a_spelled_duration_is_the_same_duration(ns: int) -> None:
    assert nanoseconds(go_duration(ns)) == ns


TEXT = st.sampled_from(["", "a", "b"])
DURATION = st.sampled_from(["10s", "60s", "1m", "1m30s", "2m0s", 15_000_000_000, "250ms"])
CHECK = st.fixed_dictionaries(
    {"type": st.sampled_from(["tcp", "http"])},
    optional={"interval": DURATION, "timeout": DURATION, "grace_period": DURATION, "port": st.integers(1, 9)},
)
PORT = st.fixed_dictionaries({"port": st.integers(1, 9)}, optional={"force_https": st.booleans()})
SERVICE = st.fixed_dictionaries(
    {"internal_port": st.integers(1, 9)},
    optional={
        "autostop": st.sampled_from(["off", "stop", "suspend", True, False]),
        "autostart": st.booleans(),
        "min_machines_running": st.integers(0, 2),
        "ports": st.lists(PORT, max_size=2),
        "checks": st.lists(CHECK, max_size=2),
        "concurrency": st.fixed_dictionaries(
            {}, optional={"type": st.just("requests"), "soft_limit": st.integers(1, 30)}
        ),
    },
)
CONFIG = st.fixed_dictionaries(
    {"image": st.just("i")},
    optional={
        "env": st.dictionaries(TEXT, TEXT, max_size=2),
        "metadata": st.dictionaries(TEXT, TEXT, max_size=2),
        "init": st.fixed_dictionaries({}, optional={"cmd": st.lists(TEXT, max_size=2), "tty": st.booleans()}),
        "guest": st.fixed_dictionaries({}, optional={"cpus": st.integers(1, 8), "memory_mb": st.integers(1, 4)}),
        "size": st.sampled_from(["shared-cpu-1x", "shared-cpu-4x", "performance-2x"]),
        "restart": st.fixed_dictionaries(
            {"policy": st.sampled_from(["no", "always", "on-failure", ""])},
            optional={"max_retries": st.integers(0, 11)},
        ),
        "services": st.lists(SERVICE, max_size=2),
        "checks": st.dictionaries(TEXT, CHECK, max_size=2),
        "mounts": st.lists(st.fixed_dictionaries({"volume": TEXT, "path": TEXT}), max_size=1),
        "stop_config": st.fixed_dictionaries({}, optional={"timeout": DURATION, "signal": st.just("SIGTERM")}),
        "auto_destroy": st.booleans(),
        "schedule": st.just("daily"),
        "never_heard_of": st.dictionaries(TEXT, st.integers(), max_size=2),
    },
)


@given(CONFIG)
def test_nothing_that_was_sent_is_lost_and_a_reconciler_sees_no_difference(config: dict[str, Any]) -> None:
    reported = as_reported(config)
    assert set(config) - {"size"} <= set(reported)
    assert canonical(MachineConfig(document=reported)) == canonical(MachineConfig(document=config))
    assert Differ().differences(canonical(MachineConfig(document=config)), MachineConfig(document=reported)) == ()
    assert as_reported(reported) == reported
