"""Which pools live machines become, of which kind and name, what is hidden, and what is left alone."""

import base64
from typing import Any

import pytest

from reconciler.drafts.live_pools import LivePool, pools_of
from reconciler.drafts.variables import Variables, without_secrets
from reconciler.model.spec import PoolKind
from tests.support.live_apps import (
    AT,
    DIGEST,
    GROUP,
    IMAGE,
    fly_metadata,
    imported,
    machine_json,
    observed,
    text_of,
    web_config,
    worker_config,
)

TASK, SERVICE = PoolKind.TASK, PoolKind.SERVICE
PLAIN = {"image": IMAGE, "init": {"cmd": ["run"]}}
FAILED = [
    {
        "id": "2",
        "type": "exit",
        "status": "stopped",
        "source": "flyd",
        "timestamp": 1788220799000,
        "request": {"exit_event": {"exit_code": 1}},
    },
    {"id": "1", "type": "start", "status": "started", "source": "flyd", "timestamp": 1788220798000},
    {"id": "0", "type": "launch", "status": "created", "source": "user", "timestamp": 1788220797000},
]


def pools(*machines: dict[str, Any], app: str = "shop") -> list[tuple[str, str, list[str]]]:
    """The name, kind and machines of each pool."""
    return [(one.name, one.kind.value, [it.name for it in one.machines]) for one in found_pools(*machines, app=app)]


def found_pools(*machines: dict[str, Any], app: str = "shop") -> tuple[LivePool, ...]:
    return pools_of(app, observed(machines).machines, at=AT)


def serving(**changed: Any) -> dict[str, Any]:
    return {"services": [{"protocol": "tcp", "internal_port": 80, "autostart": True} | changed]}


@pytest.mark.parametrize(
    ("config", "state", "kind"),
    [
        (serving(), "started", SERVICE),
        (serving(autostop="stop"), "stopped", SERVICE),
        (serving(autostop="suspend"), "suspended", SERVICE),
        (serving(autostop=""), "stopped", TASK),
        (serving(), "stopped", TASK),  # a plan of a service would start it
        (serving(autostart=False), "stopped", TASK),
        (serving(autostop="stop"), "failed", TASK),
        ({"checks": {"up": {"type": "tcp", "port": 80}}}, "started", SERVICE),
        ({}, "started", SERVICE),  # the platform's own policy restarts what fails
        ({"restart": {"policy": "always"}}, "starting", SERVICE),
        ({"restart": {"policy": "no"}}, "started", TASK),
        ({"restart": {"policy": "always"}}, "stopped", TASK),
        ({}, "created", TASK),
        ({"schedule": "daily"}, "started", TASK),
        ({"standbys": ["e1"]}, "stopped", TASK),
    ],
)
def test_the_kind_follows_from_what_keeps_the_machine_up(config: dict[str, Any], state: str, kind: PoolKind) -> None:
    (pool,) = found_pools(machine_json(1, PLAIN | config, state=state))
    assert pool.kind is kind


def test_a_machine_that_may_rest_and_just_failed_is_a_task_with_a_remark() -> None:
    (pool,) = found_pools(machine_json(1, web_config(), state="stopped", events=FAILED))
    assert pool.kind is TASK
    assert "was stopped when it was imported" in pool.remark


def test_a_machine_that_is_stopped_has_a_pool_beside_the_running_ones_and_its_comment_says_why() -> None:
    running = [machine_json(number, worker_config()) for number in (1, 2)]
    text = text_of(imported(observed([*running, machine_json(3, worker_config(), state="stopped")])))
    services, _, tasks = text.partition("    tasks:\n")
    assert "      worker:\n        count: {iad: 2}\n" in services
    assert "      worker-2:\n        # It was stopped when it was imported" in tasks


def test_equal_configs_of_one_group_are_one_pool_whatever_the_server_adds_and_tools_note() -> None:
    second = web_config(metadata=fly_metadata("web") | {"fly_release_id": "rel_2", "reconciler_rev": "1"}, dns={})
    second["services"][0]["checks"][0]["interval"] = "15000ms"
    first = machine_json(1, web_config())
    assert pools(first, machine_json(2, second, state="stopped")) == [
        ("web", "service", [first["name"], "weathered-frog-7002"])
    ]


@pytest.mark.parametrize(
    "other",
    [
        worker_config("cron"),
        worker_config(env={"A": "1"}),
        worker_config(image=IMAGE.replace("0a1b", "1a1b")),
        worker_config(metadata=fly_metadata("worker") | {"team": "a"}),
    ],
)
def test_another_group_config_image_or_metadata_is_another_pool(other: dict[str, Any]) -> None:
    names = [name for name, _kind, _machines in pools(machine_json(1, worker_config()), machine_json(2, other))]
    assert names[0] == "worker"
    assert names[1] == ("cron" if other["metadata"][GROUP] == "cron" else "worker-2")


def test_an_image_counts_by_the_digest_that_runs() -> None:
    tagged = IMAGE.partition("@")[0]
    same = [
        machine_json(1, worker_config()),
        machine_json(2, worker_config(image=tagged), image_ref={"digest": DIGEST}),
        machine_json(3, worker_config(image=tagged), image_ref={"digest": DIGEST.replace("0a", "1a")}),
    ]
    assert [len(one.machines) for one in found_pools(*same)] == [2, 1]
    assert text_of(imported(observed(same[1:2]))).count(IMAGE) == 1


def test_a_machine_with_a_volume_has_a_pool_of_its_own() -> None:
    mounted = [
        worker_config("db", mounts=[{"volume": f"vol_{number}", "path": "/data", "name": "data", "size_gb": 3}])
        for number in (1, 2)
    ]
    seen = observed([machine_json(number, config) for number, config in enumerate(mounted)])
    assert [one.name for one in pools_of("shop", seen.machines, at=AT)] == ["db", "db-2"]
    assert "config: {mounts: [{volume: vol_1, path: /data}]}\n" in text_of(imported(seen))


@pytest.mark.parametrize(
    ("machines", "names"),
    [
        ([(PLAIN, "web-iad-0"), (PLAIN, "web-iad-1")], ["web"]),
        ([(PLAIN, "quiet-sun-1")], ["my-shop"]),
        ([(PLAIN, "a-1"), (PLAIN | {"image": "ghcr.io/acme/Api:1".lower()}, "b-1")], ["shop", "api"]),
        ([(PLAIN, "a-1"), (PLAIN | {"env": {"A": "1"}}, "b-1")], ["shop", "shop-2"]),
        ([(worker_config("Web_API"), "a-1")], ["web-api"]),
        ([(worker_config("7up"), "a-1"), (worker_config("7_UP"), "b-1")], ["group-7up", "group-7-up"]),
        ([(worker_config("Up"), "a-1"), (worker_config("up"), "b-1")], ["up", "up-2"]),
        ([(worker_config("77"), "a-1")], ["group-77"]),
        ([(worker_config("x" * 60), "a"), (worker_config("x" * 61), "b")], ["x" * 41, "x" * 39 + "-2"]),
    ],
)
def test_pools_are_named_after_the_group_the_machines_the_app_or_the_image(
    machines: list[tuple[dict[str, Any], str]], names: list[str]
) -> None:
    listed = [machine_json(number, config, name=name) for number, (config, name) in enumerate(machines)]
    assert [name for name, _kind, _machines in pools(*listed, app="my-shop")] == names


def test_slots_are_in_the_order_of_their_numbers_then_of_age() -> None:
    names = {1: "young-1", 2: "worker-iad-10", 3: "worker-iad-2", 0: "old-1"}
    listed = [machine_json(number, worker_config(), name=name) for number, name in names.items()]
    assert pools(*listed) == [("worker", "service", ["worker-iad-2", "worker-iad-10", "old-1", "young-1"])]
    (pool,) = found_pools(*(machine_json(number, worker_config(), name=f"worker-iad-{number}") for number in (1, 0)))
    assert pool.slots == {}
    (pool,) = found_pools(machine_json(1, worker_config(), name="worker-iad-1"))
    assert pool.slots == {"iad": ["worker-iad-1"]}


def test_what_looks_secret_is_a_variable_and_one_variable_has_one_value() -> None:
    first = worker_config("one", env={"DB_PASSWORD": "a", "APP_KEY": "same", "FLY_API_TOKEN": "t", "A": "shown"})
    second = worker_config("two", env={"DB_PASSWORD": "b", "APP_KEY": "same", "no-word key": "c"})
    variables = Variables()
    text = text_of(imported(observed([machine_json(1, first), machine_json(2, second)]), variables))
    assert variables.values == {
        "DB_PASSWORD": "a",
        "APP_KEY": "same",
        "ONE_FLY_API_TOKEN": "t",  # FLY_API_TOKEN is the token of this tool
        "TWO_DB_PASSWORD": "b",
        "no_word_key": "c",
    }
    assert "A: shown" in text
    assert 'DB_PASSWORD: "${TWO_DB_PASSWORD}"' in text
    assert "to be set before you plan: DB_PASSWORD, APP_KEY," in text


def test_headers_options_and_files_have_names_too_and_content_is_shown_on_demand() -> None:
    config = {
        "checks": {"up": {"headers": [{"name": "X-Auth", "values": ["a"]}, {"name": "Accept", "values": ["b"]}]}},
        "init": {"cmd": ["run", "--api-key", "c", "--level", "d", "--token", "--quiet", "postgres://u:p@h/db"]},
        "containers": [{"env": {"TOKEN": "e", "N": 1}, "image": "i@sha256:" + "0a1b2c3d" * 8}],
        "files": [{"guest_path": "/etc/app.conf", "raw_value": "Zg=="}],
    }
    variables = Variables()
    without_secrets(config, variables, owner="web")
    assert variables.values == {
        "X_AUTH": "a",
        "API_KEY": "c",
        "QUIET": "postgres://u:p@h/db",
        "TOKEN": "e",
        "FILE_ETC_APP_CONF": "Zg==",
    }
    shown = Variables(shows_all=True)
    assert without_secrets(config, shown, owner="web") == config
    assert not shown.values


def test_files_are_shown_with_the_flag_but_for_those_that_look_secret() -> None:
    key = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nx\n").decode()
    files = [
        {"guest_path": "/a", "raw_value": base64.b64encode(b"one\ntwo\n").decode(), "mode": 0o600},
        {"guest_path": "/b", "raw_value": base64.b64encode(b"\x00\xff").decode()},
        {"guest_path": "/key.pem", "raw_value": key},
    ]
    seen = observed([machine_json(1, worker_config(files=files))])
    hidden, some, everything = Variables(), Variables(shows_files=True), Variables(shows_all=True)
    assert "content:" not in text_of(imported(seen, hidden))
    assert [*hidden.values] == ["FILE_A", "FILE_B", "FILE_KEY_PEM"]
    text = text_of(imported(seen, some))
    assert "content: |\n              one\n              two\n" in text
    assert ('mode: "600"' in text, "content_base64: AP8=" in text, [*some.values]) == (True, True, ["FILE_KEY_PEM"])
    assert "-----BEGIN PRIVATE KEY-----" in text_of(imported(seen, everything))
    own = Variables(shows_all=True, is_own_token=lambda text: "two" in text or "PRIVATE" in text)
    assert "PRIVATE KEY" not in text_of(imported(seen, own))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"state": "replacing"}, "is replacing: import it again once it has settled"),
        ({"state": "created", "created_at": "2026-08-31T23:59:30Z"}, "was made or changed just now: import it again"),
        ({"state": "created", "updated_at": "2026-08-31T23:59:30Z"}, "was made or changed just now: import it again"),
        ({"state": "teleporting"}, "is unknown: import it again"),
        ({"host_status": "unreachable"}, "is unreachable: its host is down"),
        ({"config": None}, "is unreachable"),
        ({"config": {"image": IMAGE, "env": 3}}, "is not understood: invalid config.env"),
        ({"region": "local"}, "is in region local, which no spec can name"),
        ({"config": {"image": IMAGE, "metadata": {"reconciler_stack": "other"}}}, "belongs to stack other"),
        ({"config": {"image": IMAGE, "env": {"A=B": "1"}}}, "cannot be in a spec: one of its variables"),
        ({"config": {"image": IMAGE, "schedule": "yearly"}}, "cannot be in a spec: its schedule"),
        (
            {"config": {"image": IMAGE, "schedule": "daily", **serving()}},
            "cannot be in a spec: it has a schedule beside",
        ),
        ({"config": {"env": {"A": "1"}}}, "cannot be in a spec: it has no image"),
        ({"config": {"image": "A B"}}, "cannot be in a spec: its image, 'A B', is no image reference"),
    ],
)
def test_a_machine_that_cannot_be_taken_over_as_it_is_is_named_with_the_reason(
    changed: dict[str, Any], words: str
) -> None:
    seen = observed([machine_json(1, PLAIN), machine_json(2, PLAIN) | changed])
    found = imported(seen)
    (problem,) = found.problems
    assert words in problem
    assert "weathered-frog-7002 (e0000000000002)" in problem
    assert found.draft is None
    assert imported(seen, skipped=["weathered-frog-7002"]).draft
    assert imported(seen, skipped=["e0000000000002"]).draft


@pytest.mark.parametrize("name", ["-x", "a" * 64, "w\u00f6rk-1", "a\x1b[31mb"])
def test_a_machine_whose_name_no_spec_can_have_is_named_with_its_id(name: str) -> None:
    seen = observed([machine_json(1, PLAIN), machine_json(2, PLAIN) | {"name": name}])
    (problem,) = imported(seen).problems
    assert "(e0000000000002) has a name that no spec can have" in problem
    assert imported(seen, skipped=["e0000000000002"]).draft


def test_many_machines_with_one_reason_are_one_line() -> None:
    marked = PLAIN | {"metadata": {"reconciler_stack": "other"}}
    (problem,) = imported(observed([machine_json(number, marked) for number in range(200)])).problems
    assert problem.count("weathered-frog") == 5
    assert "and 195 more: belongs to stack other" in problem


def test_what_comes_and_goes_by_itself_is_left_alone() -> None:
    machines = [
        machine_json(1, PLAIN),
        machine_json(2, PLAIN | {"metadata": fly_metadata("fly_app_release_command")}),
        machine_json(3, PLAIN | {"auto_destroy": True, "restart": {"policy": "no"}}),
        machine_json(4, PLAIN, state="destroyed"),
    ]
    found = imported(observed(machines))
    assert [line.partition(": ")[0] for line in found.left_alone] == [
        "machine weathered-frog-7002 (e0000000000002)",
        "machine weathered-frog-7003 (e0000000000003)",
    ]
    assert found.machine_ids == {"e0000000000001"}
    assert imported(observed(machines[1:])).problems == ["app shop has no machine to take over"]
    assert imported(observed([])).problems == ["app shop has no machine to take over"]


def test_a_tag_whose_digest_is_not_known_is_told() -> None:
    found = imported(observed([machine_json(1, PLAIN | {"image": "nginx"})]))
    assert found.notes == ["no digest is known of nginx:latest: plan with --resolve never, or its tag is looked up"]
    assert "image: nginx\n" in text_of(found)


def test_two_machines_of_one_name_are_a_problem() -> None:
    machines = [machine_json(number, PLAIN, name="twin") for number in (1, 2)]
    assert imported(observed(machines)).problems == ["2 machines are called twin: destroy all but one"]


def test_metadata_that_no_spec_declares_and_leases_are_told() -> None:
    config = PLAIN | {"metadata": {"fly-managed-postgres": "1", "team": "a"}}
    lease = {"owner": "o", "description": "d", "expires_at": 1788220800}
    found = imported(observed([machine_json(1, config, lease=lease)]))
    assert "metadata: {team: a}" in text_of(found)
    assert found.notes == [
        "metadata that stays on the machines, and cannot be declared: fly-managed-postgres",
        "leased now, so an apply waits for it: machine weathered-frog-7001 (e0000000000001) until 00:00:00 UTC",
    ]
