"""What the server fills in, re-spells and decorates is no difference; what anyone means is one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.digest import digest_of
from reconciler.canonical.durations import nanoseconds
from reconciler.canonical.normalize import canonical
from reconciler.model.config import MachineConfig
from reconciler.planner.diff import Differ

IMAGE = {"image": "i"}
SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "init is always there": ({}, {"init": {}}),
    "init with nulls": (
        {"init": {"cmd": ["a"]}},
        {"init": {"cmd": ["a"], "exec": None, "entrypoint": None, "tty": False}},
    ),
    "dns is added": ({}, {"dns": {}}),
    "guest is filled in": ({}, {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}}),
    "guest in part": ({"guest": {"memory_mb": 512}}, {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}}),
    "size becomes a guest": ({"size": "shared-cpu-2x"}, {"guest": {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}}),
    "no gpus": ({}, {"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256, "gpus": 0}}),
    "an empty cpu kind": ({}, {"guest": {"cpu_kind": "", "cpus": 1, "memory_mb": 256}}),
    "an empty restart policy": ({}, {"restart": {"policy": ""}}),
    "restart spelled out": ({"restart": {"policy": "on-failure"}}, {}),
    "retries echoed": ({"restart": {"policy": "on-failure"}}, {"restart": {"policy": "on-failure", "max_retries": 10}}),
    "no retries": ({"restart": {"policy": "no"}}, {"restart": {"policy": "no", "max_retries": 0}}),
    "env is null": ({}, {"env": None}),
    "metadata is empty": ({"metadata": {}}, {}),
    "lists are null": ({"mounts": [], "services": [], "files": []}, {"mounts": None, "services": None, "checks": None}),
    "auto_destroy is false": ({}, {"auto_destroy": False}),
    "autostop by name": ({"services": [{"autostop": "stop"}]}, {"services": [{"autostop": True}]}),
    "autostop off": ({"services": [{"autostop": "off"}]}, {"services": [{"autostop": False}]}),
    "force_instance_key": ({"services": [{}]}, {"services": [{"force_instance_key": None}]}),
    "a duration re-spelled": ({"stop_config": {"timeout": "60s"}}, {"stop_config": {"timeout": "1m0s"}}),
    "a duration in nanoseconds": ({"stop_config": {"timeout": "90s"}}, {"stop_config": {"timeout": 90_000_000_000}}),
    "a check's durations": (
        {"checks": {"up": {"type": "tcp", "interval": "15s", "grace_period": "1m"}}},
        {"checks": {"up": {"type": "tcp", "interval": "15s", "grace_period": "1m0s"}}},
    ),
    "a service check's interval is clamped": (
        {"services": [{"checks": [{"type": "tcp", "interval": "5m"}]}]},
        {"services": [{"checks": [{"type": "tcp", "interval": "1m0s"}]}]},
    ),
    "mounts are decorated": (
        {"mounts": [{"volume": "v", "path": "/data"}]},
        {"mounts": [{"volume": "v", "path": "/data", "name": "n", "size_gb": 3, "encrypted": True, "add_size_gb": 0}]},
    ),
    "compatibility checks": ({}, {"checks": {"bg_deployments_compat_1": {"type": "tcp"}}}),
    "fly's own metadata": ({}, {"metadata": {"fly_flyctl_version": "0.3", "reconciler_applied": "1:ab"}}),
    "an image beside containers": (
        {"containers": [{"name": "a", "image": "x"}]},
        {"containers": [{"name": "a", "image": "x"}], "image": "x"},
    ),
}
DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another image": ({}, {"image": "j"}, "image"),
    "a tag for a digest": ({}, {"image": "i@sha256:1"}, "image"),
    "less memory": ({"guest": {"memory_mb": 512}}, {}, "guest.memory_mb"),
    "policy": ({"restart": {"policy": "no"}}, {"restart": {"policy": "always"}}, "restart.policy"),
    "retries": (
        {"restart": {"policy": "on-failure", "max_retries": 3}},
        {"restart": {"policy": "on-failure", "max_retries": 10}},
        "restart.max_retries",
    ),
    "an extra env": ({}, {"env": {"A": "1"}}, "env.A"),
    "a missing env": ({"env": {"A": "1"}}, {}, "env.A"),
    "words of a command": ({"init": {"cmd": ["a", "b"]}}, {"init": {"cmd": ["a"]}}, "init.cmd"),
    "a command that nobody declared": ({}, {"init": {"cmd": ["a"]}}, "init"),
    "autostop": ({"services": [{"autostop": "suspend"}]}, {"services": [{"autostop": True}]}, "services[0].autostop"),
    "autostart switched on": ({"services": [{"autostart": False}]}, {"services": [{"autostart": True}]}, "services"),
    "a switch turned on": (
        {"services": [{"ports": [{"port": 1}]}]},
        {"services": [{"ports": [{"port": 1, "force_https": True}]}]},
        "services[0].ports",
    ),
    "a service more": ({"services": [{"internal_port": 1}]}, {"services": [{"internal_port": 1}, {}]}, "services"),
    "a duration": ({"stop_config": {"timeout": "60s"}}, {"stop_config": {"timeout": "1m1s"}}, "stop_config.timeout"),
    "a mount's path": (
        {"mounts": [{"volume": "v", "path": "/a"}]},
        {"mounts": [{"volume": "v", "path": "/b"}]},
        "mounts[0].path",
    ),
    "auto_destroy": ({}, {"auto_destroy": True}, "auto_destroy"),
    "a schedule": ({}, {"schedule": "daily"}, "schedule"),
    "a word that we do not know": ({"brand_new": {"x": 1}}, {"brand_new": {"x": 2}}, "brand_new.x"),
}


def paths(desired: dict[str, Any], live: dict[str, Any]) -> list[str]:
    declared = canonical(MachineConfig(document=IMAGE | desired))
    return [field.path for field in Differ().differences(declared, MachineConfig(document=IMAGE | live))]


@pytest.mark.parametrize("case", SAME)
def test_what_only_the_server_would_write_is_no_difference(case: str) -> None:
    desired, live = SAME[case]
    assert paths(desired, live) == []


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_someone_means_is_a_difference_by_its_path(case: str) -> None:
    desired, live, path = DIFFERENT[case]
    found = paths(desired, live)
    assert found
    assert all(one == path or one.startswith((path + ".", path + "[")) for one in found), found


def test_what_the_server_may_add_and_nobody_declared_is_no_difference() -> None:
    assert (
        paths({}, {"server_novelty": {"x": 1}, "metadata": {"other_tool": "kept"}, "dns": {"nameservers": ["x"]}}) == []
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1m0s", 60e9), ("1h2m3s", 3723e9), ("1.5s", 1.5e9), ("250ms", 250e6), ("10", "10"), ("soon", "soon"), (5, 5)],
)
def test_durations_are_nanoseconds(text: object, expected: object) -> None:
    assert nanoseconds(text) == expected


LEAF = st.none() | st.booleans() | st.integers(-5, 5000) | st.text(max_size=6)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = (
    "env metadata guest init restart services checks mounts files processes stop_config dns rootfs schedule unknown"
)
SECTION = st.sampled_from(SECTIONS.split())
CONFIG = st.dictionaries(SECTION, VALUE, max_size=6)


@given(CONFIG)
def test_any_config_is_like_itself_and_normalising_twice_changes_nothing(document: dict[str, Any]) -> None:
    document = IMAGE | document
    for key in ("env", "metadata"):  # the wire gives these as maps of strings
        if key in document:
            value = document[key]
            document[key] = {k: str(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else {}
    config = MachineConfig(document=document)
    once = canonical(config)
    assert Differ().differences(once, config) == ()
    assert canonical(MachineConfig(document=once)) == once
    assert digest_of(config) == digest_of(MachineConfig(document=dict(reversed(list(document.items())))))
