"""Each file of tests/cases/fly-toml becomes a spec whose planned configs are those that flyctl sends.

`expected.json` has what flyctl's own code makes of each file, without images, metadata, and ids and sizes of volumes.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.canonical.normalize import canonical
from reconciler.drafts.fly_toml.draft import FlyDraft, Found, draft_of
from reconciler.drafts.names import pool_names
from reconciler.drafts.write import write_draft
from reconciler.errors import SpecError, UsageError
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.regions import GIVEN_UP, LISTED
from reconciler.model.spec import PoolKind, Spec
from reconciler.operations.origins import find_origin, read_local_files
from reconciler.planner.planner import plan
from reconciler.spec import load_spec

CASES = Path(__file__).parents[1] / "cases" / "fly-toml"
EXPECTED: dict[str, Any] = json.loads((CASES / "expected.json").read_text())
ASIDE = {"image", "metadata", "mounts", "auto_destroy", "dns"}
DEFAULTS = {"guest", "restart"}  # of which the spec may say the platform's own
ODD: list[Any] = [
    *(None, True, False, 0, -1, 8080, 2.5, "", "a", "5s", "512mb", "web", "http", "off", "${A}", "a=b\n c", "\0", "é"),
    *([], ["a"], [1], {}, {"a": "b"}, {"": 1}, {"=": "x"}, [{}], [{"name": "a"}], 10**30, "x" * 3000, "http://u:pw@h/"),
]
WHOLE = {"consul", "machine_checks"}  # tables that are reported as such
TASKS = {"release-group.toml": "release-command"}  # where a service is called release


def drafted(document: Mapping[str, Any] | str) -> FlyDraft:
    """The draft of a document, or of TOML."""
    read = tomllib.loads(document) if isinstance(document, str) else document
    found = Found(document=read, file="fly.toml", files=read_local_files(CASES, read))
    return draft_of(found, name="app", org=None, region=None)


def drafted_case(name: str) -> FlyDraft:
    document = find_origin(CASES, name).document
    assert document is not None
    return drafted(document)


def text_of(draft: FlyDraft) -> str:
    """The spec's lines without their indents, a comment on several lines as one."""
    return " ".join(write_draft(draft.draft).replace("# ", "").split())


def loaded(draft: FlyDraft) -> Spec:
    return load_spec(write_draft(draft.draft), file="machines.yaml", environment=draft.variables)


def planned(spec: Spec) -> dict[str, MachineConfig]:
    """The config of each pool, as the planner would have it created."""
    app = spec.apps[0].name
    nothing = Observed(apps={app: ObservedApp(name=app, exists=False)}, at=datetime(2026, 1, 1, tzinfo=UTC))
    created = [change.desired for change in plan(spec, nothing).changes if change.desired]
    return {one.slot.pool: one.config for one in created}


def compared(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in canonical(MachineConfig(document=dict(config))).items() if key not in ASIDE}


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := without_empty(one)) not in (None, "", [], {})}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_planned_configs_are_those_that_flyctl_sends(name: str) -> None:
    expected = EXPECTED[name]
    draft = drafted_case(name)
    spec = loaded(draft)
    task = TASKS.get(name, "release")
    pools = pool_names(expected["groups"])
    wanted = {pools[group]: config for group, config in expected["groups"].items()}
    wanted |= {task: expected["release"]} if "release" in expected else {}
    configs = planned(spec)
    assert configs.keys() == wanted.keys() == draft.pools.keys()
    assert {pool: compared(config.document) for pool, config in configs.items()} == {
        pool: compared(config) for pool, config in wanted.items()
    }
    for pool, config in wanted.items():  # to the letter, but for members that say nothing
        assert without_empty({key: value for key, value in draft.pools[pool].items() if key != "image"}) == {
            key: value for key, value in without_empty(config).items() if key not in ASIDE
        }
    kinds = {pool.name: pool.kind for pool in spec.pools}
    assert kinds == {pool: PoolKind.TASK if pool == task else PoolKind.SERVICE for pool in wanted}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("groups.toml", "mounts beat_state at /var/lib/beat: this version cannot make volumes"),
        ("groups.toml", "deploy.strategy = bluegreen: an apply changes"),
        ("legacy.toml", "services[0].http_checks[0].restart_limit = 0: flyctl does not know it"),
        ("legacy.toml", "experimental.allowed_public_ports = []: flyctl does not know it"),
        ("legacy.toml", "vm: fly.toml says no size for app"),
        ("one-group.toml", "mounts.auto_extend_size_limit = 5GB: this version cannot make volumes"),
        ("release-vm.toml", "deploy.wait_timeout = 10m: a changed machine has five minutes"),
        ("placeholders.toml", "primary_region = {REGION}: it is no region in the platform's list"),
        ("given-up.toml", "primary_region = mad: the platform has given up this region; cdg is near it"),
        ("given-up.toml", "services[0].processes = [ghost]: there is no such process group"),
        ("laravel.toml", "console_command = php /var/www/html/artisan tinker: `fly console`"),
        ("quoting.toml", "processes.mail_out: a pool cannot have this name; it is called mail-out-2"),
        ("quoting.toml", "processes.9to5: a pool cannot have this name; it is called group-9to5"),
        ("release-group.toml", "deploy.seed_command = bin/seed: declare a task"),
        ("sizes.toml", "vm.gpu_kind = a10: the platform no longer has GPUs"),
        ("unknown.toml", "http_service.internal_prot = 8081: flyctl does not know it"),
        ("unknown.toml", "build.buildpacks = [gcr.io/paketo-buildpacks/nodejs]: this version builds from a Dockerfile"),
        ("unknown.toml", "consul: flyctl does not know it"),
        ("unknown.toml", "http_service.machine_checks: this version runs no test machines"),
        ("unknown.toml", "mounts.snapshot_retention = 14: set it with `fly volumes update`"),
    ],
)
def test_what_a_spec_cannot_say_is_a_comment_and_a_line_of_the_report(name: str, words: str) -> None:
    draft = drafted_case(name)
    assert any(line.startswith(words) for line in draft.report), draft.report
    if not words.startswith(("vm: ", "mounts beat")):  # those stand beside the size, and at the volume
        assert words in text_of(draft)


def test_every_key_is_said_or_reported() -> None:
    """An odd key beside each key of each file is reported: none is dropped."""
    for name in EXPECTED:
        document = find_origin(CASES, name).document
        assert document is not None
        odd = _with_odd_keys(document)
        reported = sum("zz_odd" in line for line in drafted(odd).report)
        assert reported == str(odd).count("zz_odd"), name


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of each value below this one."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, one in members for found in [(*place, key), *_places(one, (*place, key))]]


def _replaced(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    if not place:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _replaced(value[place[0]], place[1:], odd)
    return copy


@given(st.data())
def test_an_odd_value_anywhere_is_refused_or_is_in_a_spec_that_is_as_meant(data: st.DataObject) -> None:
    document = dict(find_origin(CASES, data.draw(st.sampled_from(sorted(EXPECTED)))).document or {})
    for _ in range(2):
        if places := _places(document):
            document = _replaced(document, data.draw(st.sampled_from(places)), data.draw(st.sampled_from(ODD)))
    try:
        draft = drafted(document)
        spec = loaded(draft)
    except (UsageError, SpecError):
        return
    except ValueError as error:
        assert str(error).startswith("a spec cannot say")  # noqa: PT017
        return
    for pool in spec.pools:
        assert compared(pool.config.document) == compared(draft.pools[pool.name])


def _with_odd_keys(value: Any, *, at: str = "") -> Any:
    """The value with a key more in each table but those whose keys are the user's."""
    if isinstance(value, Mapping):
        free = at in {"env", "processes", "args", "headers", "checks", *WHOLE}
        return {key: _with_odd_keys(one, at=key) for key, one in value.items()} | ({} if free else {"zz_odd": 1})
    is_free = at in {"env", "processes", "headers", *WHOLE}
    return [one if is_free else _with_odd_keys(one) for one in value] if isinstance(value, list) else value


def test_values_that_look_secret_are_variables_and_are_in_no_line() -> None:
    draft = drafted_case("secrets.toml")
    text = write_draft(draft.draft)
    assert set(draft.variables) == {
        *("DATABASE_URL", "SESSION_SECRET", "NPM_TOKEN", "AUTHORIZATION", "FILE_APP_NETRC"),
        "APP_FLY_API_TOKEN",  # the name itself is this tool's token
    }
    for name, value in draft.variables.items():
        assert f"${{{name}}}" in text
        assert value not in text + "".join(draft.report)
    assert "LOG_LEVEL: debug" in text


def test_no_variable_is_asked_for_that_the_spec_does_not_have() -> None:
    check = '[[http_service.checks]]\npath = "/up?token=abc"\nheaders = {Authorization = "Bearer abc"}\n'
    draft = drafted(f'app = "a"\n[http_service]\ninternal_port = 8080\n{check}')
    text = write_draft(draft.draft)
    assert draft.variables == {"APP_CONFIG_SERVICES_CHECKS_PATH": "/up?token=abc", "AUTHORIZATION": "Bearer abc"}
    assert all(f"${{{name}}}" in text for name in draft.variables)


def test_an_odd_value_that_looks_secret_is_not_shown() -> None:
    draft = drafted('app = "a"\napi_token = "abc"\n[consul]\nurl = "http://u:hunter22@h"\n')
    assert "abc" not in text_of(draft) + "".join(draft.report)
    assert "hunter22" not in text_of(draft) + "".join(draft.report)


def test_a_line_of_the_report_is_one_line() -> None:
    draft = drafted('app = "a"\n"b\\n::error::c" = "d\\ne"\n')
    assert "b ::error::c = d e: flyctl does not know it" in draft.report
    assert all("\n" not in line for line in draft.report)
    assert loaded(draft)


@pytest.mark.parametrize(
    ("toml", "counts"),
    [
        ("[http_service]\ninternal_port = 1\nmin_machines_running = 3", {"iad": 3}),
        ("[http_service]\ninternal_port = 1\nmin_machines_running = 0", {"iad": 1}),
        ("primary_region = 'fra'", {"fra": 1}),
        ("primary_region = 'sea'", {"sjc": 1}),
        ("primary_region = 'xyz'", {"iad": 1}),
    ],
)
def test_machines_are_counted_and_placed_as_fly_toml_says(toml: str, counts: dict[str, int]) -> None:
    assert loaded(drafted(toml)).pools[0].counts == counts


def test_each_region_that_is_given_up_has_one_of_today() -> None:
    assert not GIVEN_UP.keys() & LISTED
    assert set(GIVEN_UP.values()) <= LISTED


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", "build: ."),
        ("[build]\nimage = 'nginx:1'", "image: nginx:1"),
        ("[build]\ndockerfile = 'deploy/Dockerfile'", "build: {context: ., dockerfile: deploy/Dockerfile}"),
        ("[build]\nbuild_target = 'prod'", "build: {context: ., target: prod}"),
        ("[build]\nbuilder = 'heroku/builder:24'", "image: registry.fly.io/app:${IMAGE_TAG:-latest}"),
        ("[build]\nimage = '{IMAGE}'", "build.image = {IMAGE}: it is no image's name build: ."),
        ("[build]\ndockerfile = 'https://a/b'", "build.dockerfile = https://a/b: this version takes"),
        ("[build]\nimage = 'nginx'\ndockerfile = 'x'", "image: nginx"),
    ],
)
def test_an_image_is_named_or_built(toml: str, expected: str) -> None:
    draft = drafted(toml)
    assert expected in text_of(draft)
    assert loaded(draft).pools[0].config.image


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("env = 1", r"\[env\] is no table"),
        ("processes = {web = 1}", r"processes.web is no string: 1"),
        ("processes = {web = 'a \"b'}", "processes.web has a quote"),
        ("services = 1", "services is no table"),
        ("[[services]]\nconcurrency = '20'", r"services\[0\].concurrency is no whole number"),
        ("[[services]]\ninternal_port = 'x'", r"services\[0\].internal_port is no whole number"),
        ("[http_service]\nauto_stop_machines = 'never'", "http_service.auto_stop_machines is 'never'"),
        ("[http_service]\nforce_https = 'yes'", r"http_service.ports.force_https is 'yes'"),
        ("[checks.a]\ntype = 'script'", "checks.a.type is 'script'"),
        ("[checks.a]\ntype = 'tcp'", "checks.a has no port"),
        ("[[checks]]\ntype = 'tcp'", "has no `name`"),
        ("[[restart]]\npolicy = 'sometimes'", "restart.policy is 'sometimes'"),
        ("[[vm]]\nsize = 'shared-cpu-3x'", "vm.size is no preset"),
        ("[[vm]]\nmemory = 0", "vm.memory is zero"),
        ("kill_timeout = '5 min'", "kill_timeout is no duration"),
        ("[experimental]\ncmd = [1]", "experimental.cmd is no list of strings"),
        ("[[mounts]]\ninitial_size = 'big'", "mounts.initial_size is no size"),
        ("[deploy]\nrelease_command = ['a']", "deploy.release_command is no string"),
        ("primary_region = 1", "primary_region is no string"),
    ],
)
def test_what_flyctl_refuses_is_refused_by_the_name_of_its_key(toml: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        drafted(toml)


def test_names_of_pools_are_like_those_of_groups_and_never_twice() -> None:
    groups = ("web", "Web", "WEB", "mail_out", "mail-out", "9", "-x", "ü", "a" * 60, "a" * 61)
    names = pool_names(groups)
    assert len(set(names.values())) == len(groups)
    assert names["web"] == "web"
    assert names["Web"] == "web-2"
    assert names["WEB"] == "web-3"
    assert names["mail-out"] == "mail-out"
    assert names["9"] == "group-9"
    assert all(len(name) <= 41 for name in names.values())
    for name in names.values():  # each is one that a spec takes
        load_spec(
            f"version: 1\nname: s\napps: {{a: {{image: i, services: {{{name}: {{}}}}}}}}", file="f", environment={}
        )
