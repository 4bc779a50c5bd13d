"""Valid specs and what they mean; the schema, and that both readings of it agree."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.errors import SpecError
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.spec import Pool, PoolKind, Spec
from reconciler.planner.hashes import plan_sha256, spec_sha256
from reconciler.planner.planner import plan as make_plan
from reconciler.spec import load_spec
from reconciler.spec.schema import spec_schema
from reconciler.spec.shape import fits


def load(text: str, **environment: str) -> Spec:
    return load_spec(text, file="machines.yaml", environment=environment)


def pool(lines: str, *, kind: str = "tasks", image: str = "i", **environment: str) -> Pool:
    """The pool of a spec whose pool has these lines."""
    body = "".join(f"        {line}\n" for line in lines.splitlines())
    text = f"version: 1\nname: s\napps:\n  app:\n    image: {image}\n    {kind}:\n      p:\n{body or '        {}'}"
    return load(text, **environment).pools[0]


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        ("command: [php, artisan]\nargs: [a]", "init", {"cmd": ["php", "artisan", "a"]}),
        ("command: php artisan 'two words'", "init", {"cmd": ["php", "artisan", "two words"]}),
        ("command: [x]\nentrypoint: sh -c", "init", {"entrypoint": ["sh", "-c"], "cmd": ["x"]}),
        ("command: [1.10, yes, 0x1F, 1e3]", "init", {"cmd": ["1.10", "yes", "0x1F", "1e3"]}),
        ("env: {A: 1.10, B: yes, C: 010, D: ''}", "env", {"A": "1.10", "B": "yes", "C": "010", "D": ""}),
        ("command: [x]\nswap_size_mb: 512", "init", {"cmd": ["x"], "swap_size_mb": 512}),
        ("command: [x]\nswap_size_mb: 0", "init", {"cmd": ["x"]}),
        ("guest: performance-2x", "guest", {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096}),
        ("stop: {signal: SIGTERM, timeout: 30s}", "stop_config", {"signal": "SIGTERM", "timeout": "30s"}),
        ("config: {auto_destroy: false, dns: {nameservers: [a]}}", "dns", {"nameservers": ["a"]}),
        ("metadata: {team: web}", "metadata", {"team": "web"}),
        ("restart: on-failure", "restart", {"policy": "on-failure"}),
        ("{}", "restart", {"policy": "no"}),
    ],
)
def test_a_pools_fields_become_the_apis_config(lines: str, path: str, expected: Any) -> None:
    assert pool(lines).config.document[path] == expected


def test_a_service_is_restarted_always_and_a_task_never() -> None:
    assert pool("{}", kind="services").config.document["restart"] == {"policy": "always"}
    assert pool("{}", kind="services").kind is PoolKind.SERVICE


def rollout_of(*levels: str) -> float:
    """The seconds that a service is watched, where defaults, app and service have these lines of `rollout`."""
    lines = [f", rollout: {level}" if level else "" for level in levels]
    apps = "apps:\n  app: {image: i%s, services: {p: {count: 1%s}}}"
    text = f"version: 1\nname: s\ndefaults: {{guest: shared-cpu-1x%s}}\n{apps}"
    return load(text % tuple(lines)).pools[0].rollout.min_healthy_s


@pytest.mark.parametrize(
    ("levels", "expected_s"),
    [
        (("", "", ""), 10.0),
        (("{min_healthy: 30s}", "", ""), 30.0),
        (("{min_healthy: 30s}", "{min_healthy: 1m}", ""), 60.0),
        (("{min_healthy: 30s}", "{min_healthy: 1m}", "{min_healthy: 0s}"), 0.0),
        (("{min_healthy: 30s}", "{}", "{}"), 30.0),
    ],
)
def test_a_service_is_watched_as_its_own_rollout_says_else_its_apps_else_the_defaults(
    levels: tuple[str, ...], expected_s: float
) -> None:
    assert rollout_of(*levels) == expected_s


def test_a_rollout_is_in_no_config_no_digest_and_no_hash() -> None:
    def spec(rollout: str) -> Spec:
        text = f"version: 1\nname: s\napps: {{app: {{image: i{rollout}, services: {{p: {{command: [x]}}}}}}}}"
        return load(text)

    plain, watched = spec(""), spec(", rollout: {min_healthy: 1m}")
    assert plain.pools[0].config == watched.pools[0].config
    assert spec_sha256(plain) == spec_sha256(watched)
    nothing = Observed(apps={"app": ObservedApp(name="app", exists=False)}, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert plan_sha256(make_plan(plain, nothing)) == plan_sha256(make_plan(watched, nothing))


def test_a_rollout_of_an_app_does_not_disturb_its_tasks() -> None:
    text = "version: 1\nname: s\napps: {app: {image: i, rollout: {min_healthy: 1m}, tasks: {p: {command: [x]}}}}"
    assert load(text).pools[0].kind is PoolKind.TASK


def test_interpolation_comes_before_typing_and_never_in_keys() -> None:
    assert pool("count: ${N:-2}").counts == {"iad": 2}
    assert pool("count: ${N:-2}", N="5").counts == {"iad": 5}
    found = pool("env:\n  A: $$HOME and $5 and ${B}\n  ${B}: x", B="a: [b]").config.document["env"]
    assert found == {"A": "$HOME and $5 and a: [b]", "${B}": "x"}


@pytest.mark.parametrize("quoted", ['"${N:-2}"', "'${N:-2}'", '"${A:-}${N:-2}"'])
def test_a_variable_in_quotes_is_what_its_place_asks_for(quoted: str) -> None:
    assert pool(f"count: {quoted}").counts == {"iad": 2}
    assert pool(f"count: {{ams: {quoted}}}").counts == {"ams": 2}
    assert pool(f"guest: {{cpus: {quoted}, memory_mb: 512}}").config.document["guest"]["cpus"] == 2
    assert pool(f"env: {{A: {quoted}}}\nconfig: {{dns: {{searches: [{quoted}]}}}}").config.document["dns"] == {
        "searches": ["2"]
    }
    assert pool('launch: "${YES:-true}"').launch
    assert load("version: 1\nname: ${YEAR}\napps: {a: {image: i, tasks: {t: {}}}}", YEAR="2026").stack == "2026"


@pytest.mark.parametrize("written", ['count: "2"', 'launch: "true"', 'count: "${N:-1.5}"', 'count: "${N:-many}"'])
def test_quotes_without_a_variable_make_text_and_a_text_is_no_number(written: str) -> None:
    with pytest.raises(SpecError):
        pool(written)


def test_an_empty_variable_is_set_for_the_plain_form_only() -> None:
    assert pool("env: {A: '${B}'}", B="").config.document["env"] == {"A": ""}
    assert pool("env: {A: '${B:-x}'}", B="").config.document["env"] == {"A": "x"}
    with pytest.raises(SpecError):
        pool("env: {A: '${B:?need it}'}", B="")


def test_defaults_lie_under_the_app_and_the_app_under_the_pool() -> None:
    spec = load(
        """
version: 1
name: s
defaults: {regions: [ams], env: {A: defaults, B: defaults, C: defaults}, guest: shared-cpu-2x}
apps:
  app:
    image: i
    env: {B: app, C: app}
    tasks:
      t: {env: {C: pool, A: null}}
      u: {count: {iad: 1, fra: 2}}
"""
    )
    first, second = spec.pools
    assert first.config.document["env"] == {"B": "app", "C": "pool"}
    assert first.config.document["guest"]["cpus"] == 2
    assert first.counts == {"ams": 1}
    assert second.counts == {"iad": 1, "fra": 2}
    assert [slot.name for slot in second.slots] == ["u-iad-0", "u-fra-0", "u-fra-1"]


def test_anchors_aliases_and_merge_keys_are_plain_yaml() -> None:
    spec = load(
        """
version: 1
name: s
apps:
  app:
    image: i
    tasks:
      a: &base {command: [x], count: 2, env: {K: v}}
      b: {<<: *base, count: 3}
"""
    )
    assert [one.counts["iad"] for one in spec.pools] == [2, 3]
    assert spec.pools[1].config.document["env"] == {"K": "v"}


def test_ports_and_checks_become_services_and_checks_as_the_api_has_them() -> None:
    spec = load(
        """
version: 1
name: s
apps:
  app:
    image: i
    services:
      web:
        ports: [8080]
        checks:
          alive: {path: /health, interval: 5s, headers: {X-Check: 1.10}}
          other: {port: 9000}
      db:
        ports:
          - {internal_port: 5432, protocol: tcp, port: 5433, autostop: suspend, concurrency: {soft_limit: 3}}
          - {internal_port: 8080, port: [80, 8443], handlers: [http], force_https: true, min_machines_running: 1}
    tasks:
      none: {}
"""
    )
    web, db, none = (
        pool.config.document for pool in sorted(spec.pools, key=lambda one: ["web", "db", "none"].index(one.name))
    )
    assert web["services"] == [
        {
            "internal_port": 8080,
            "protocol": "tcp",
            "ports": [{"port": 80, "handlers": ["http"]}, {"port": 443, "handlers": ["tls", "http"]}],
            "autostart": True,
        }
    ]
    assert web["checks"] == {
        "alive": {
            "type": "http",
            "path": "/health",
            "port": 8080,
            "interval": "5s",
            "headers": [{"name": "X-Check", "values": ["1.10"]}],
        },
        "other": {"type": "tcp", "port": 9000},
    }
    assert db["services"][0] == {
        "internal_port": 5432,
        "protocol": "tcp",
        "ports": [{"port": 5433}],
        "autostart": True,
        "autostop": "suspend",
        "concurrency": {"soft_limit": 3},
    }
    assert db["services"][1]["ports"] == [
        {"port": 80, "handlers": ["http"], "force_https": True},
        {"port": 8443, "handlers": ["http"], "force_https": True},
    ]
    assert not {"services", "checks"} & set(none)


@pytest.mark.parametrize("text", ["\ufeffversion: 1\r\nname: s\r\napps: {a: {image: i, tasks: {t: {}}}}\r\n"])
def test_a_mark_of_byte_order_and_windows_line_ends_do_no_harm(text: str) -> None:
    assert load(text).stack == "s"


def test_the_spec_of_the_walkthrough_is_valid() -> None:
    text = (Path(__file__).parents[2] / "machines.yaml").read_text()
    assert [task.name for task in load(text).tasks] == ["get-release"]


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{path}.{name}", value
        for key, value in schema.items():
            yield from properties(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value, path)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema and "description" not in schema:
        target: Any = spec_schema()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return dict(target)
    return schema


def test_the_schema_is_one_and_explains_every_field() -> None:
    Draft202012Validator.check_schema(spec_schema())
    found = list(properties(spec_schema()))
    assert len(found) > 40
    assert [path for path, schema in found if not resolved(schema).get("description")] == []


WORDS = "version name defaults apps tasks services image command count env guest regions org config unknown"
VALUE = st.none() | st.booleans() | st.integers(-3, 20000) | st.sampled_from(["", "a", "iad", "10s", "shared-cpu-1x"])
TREE = st.recursive(
    VALUE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=5),
    max_leaves=15,
)


@given(st.fixed_dictionaries({"version": st.just(1), "name": st.just("s")}, optional={"apps": TREE, "defaults": TREE}))
@settings(max_examples=150, deadline=None)
def test_the_fast_reading_of_the_schema_agrees_with_jsonschema(value: Any) -> None:
    schema = spec_schema()
    assert fits(value, schema, schema) is Draft202012Validator(schema).is_valid(value)


@given(TREE)
@settings(max_examples=100, deadline=None)
def test_any_tree_is_a_spec_or_a_list_of_places(value: Any) -> None:
    with suppress(SpecError):
        load(json.dumps({"version": 1, "name": "s", "apps": {"a": value}}))


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_spec_or_a_list_of_places(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(text)
    assert all(one.place.line >= 1 for one in caught.value.diagnostics)
