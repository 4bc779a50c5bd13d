"""`reconciler import` as a whole: from machines that others made to a plan that is empty, and nothing restarted."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended
from tests.support.config_properties import PROPERTIES
from tests.support.live_apps import DIGEST, fly_metadata, web_config, worker_config
from tests.support.schemas import SCHEMAS, strict

SECRETS = {"DB_PASSWORD": "a-word-nobody-prints", "DATABASE_URL": "postgres://app:another-word@db/app"}
RUN: dict[str, Any] = {"init": {"cmd": ["run", "99999"]}}
ODD = {"auto_destroy", "schedule", "image", "mounts[].volume"}  # of which the test says something itself


class Place:
    """An app on an engine, and the command line in a directory of its own."""

    def __init__(self, engine: VirtualEngine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.line = CommandLine(engine, engine.transport, directory)
        self.api = engine.client()
        self.api.post("/apps", json={"name": "shop", "org_slug": "acme"})

    def make(self, config: Mapping[str, Any], *, name: str = "", state: str = "started", **body: Any) -> dict[str, Any]:
        """Make a machine as others do, and let it settle in the state."""
        named = {"name": name} if name else {}
        made = self.api.post("/apps/shop/machines", json={"region": "iad", "config": config, **named, **body})
        assert made.is_success, made.text
        if state != "started" and not body.get("skip_launch"):
            self.engine.run(self.engine.wait_for_state("shop", made.json()["id"], "started"))
            self.api.post(f"/apps/shop/machines/{made.json()['id']}/stop")
        return self.engine.run(self.engine.wait_for_state("shop", made.json()["id"], state))

    def run(self, *words: str, **environment: str) -> Ended:
        return self.line.run(*words, environment={"RECONCILER_RESOLVE": "never"} | environment)

    def imported(self, *words: str) -> str:
        """Import the app, into machines.yaml."""
        ended = self.run("import", "shop", *words)
        assert ended.code == 0, ended
        (self.directory / "machines.yaml").write_text(ended.out)
        return ended.out

    def versions(self) -> dict[str, Any]:
        """Each machine's version, state and events: a start, a stop or an update would add one."""
        return {
            one["name"]: (one["instance_id"], one["state"], [event["type"] for event in one["events"]])
            for one in self.engine.machines("shop")
        }

    def take_over(self, **environment: str) -> None:
        """Apply machines.yaml; nothing but adoptions may be in its plan, and nothing in the next one."""
        before = self.versions()
        planned = json.loads(self.run("plan", "--adopt", "--no-revision", "-o", "json", **environment).out)
        assert {(one["action"], one["marks_only"]) for one in planned["changes"]} == {("adopt", True)}
        assert (len(planned["changes"]), planned["apps"]) == (len(before), [])
        ended = self.run("apply", "--adopt", "--yes", "--no-revision", **environment)
        assert ended.code == 0, ended
        assert self.versions() == before
        again = self.run("plan", "--detailed-exitcode", "--no-revision", **environment)
        assert again.code == 0, again


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with VirtualEngine() as engine:
        yield Place(engine, tmp_path)


def test_an_app_that_fly_deploy_made_is_taken_over_and_given_up_again(place: Place) -> None:
    env = web_config()["env"] | SECRETS
    web, worker = web_config(**RUN, env=env), worker_config(**RUN, env=env | {"QUEUE": "high"})
    for name, config, state in (
        ("weathered-frog-7982", web, "started"),
        ("red-sky-12", web, "stopped"),
        ("old-sun-3", worker, "started"),
        ("blue-fog-4", worker | {"standbys": ["x"]}, "stopped"),
    ):
        place.make(config, name=name, state=state, skip_launch=state == "stopped")
    place.api.post("/apps/shop/secrets", json={"values": {"STRIPE_KEY": "x"}})
    before = len(place.engine.requests)
    ended = place.run("import", "shop")
    assert {request.split()[0] for request in place.engine.requests[before:]} == {"GET"}
    assert "values left out, to be set before you plan: DB_PASSWORD, DATABASE_URL\n" in ended.err
    assert "secrets stay as they are: STRIPE_KEY\n" in ended.err
    assert "`fly deploy` manages these machines too" in ended.err
    assert not any(value in ended.out + ended.err for value in ("a-word-nobody", "another-word"))
    text = place.imported()
    assert text == ended.out
    assert "slots: {iad: [weathered-frog-7982, red-sky-12]}" in text
    assert "name: shop\napps:\n  shop:\n    org: acme\n" in text
    assert place.run("plan", "--adopt").code == 1  # the variables are not set
    place.take_over(**SECRETS)
    metadata = next(one for one in place.engine.machines("shop") if one["name"] == "red-sky-12")["config"]["metadata"]
    assert fly_metadata("web").items() <= metadata.items()
    assert "belongs to stack shop (`reconciler release`" in place.run("import", "shop").err
    assert place.run("drift", "--detailed-exitcode", **SECRETS).code == 0
    before_release = place.versions()
    assert place.run("release", "--yes", **SECRETS).code == 0
    assert place.versions() == before_release
    assert place.imported() == text


def test_a_tag_is_written_with_the_digest_that_runs_and_stays_on_the_machine(place: Place) -> None:
    made = place.make(RUN | {"image": "nginx"}, name="web-iad-0")
    digest = made["image_ref"]["digest"]
    assert f"image: nginx:latest@{digest}\n" in place.imported()
    place.take_over()
    assert place.engine.machines("shop")[0]["config"]["image"] == "nginx"


def test_volumes_regions_schedules_and_containers_are_taken_over(place: Place) -> None:
    volume = place.api.post("/apps/shop/volumes", json={"name": "data", "region": "iad", "size_gb": 1}).json()["id"]
    image = f"registry.fly.io/shop@{DIGEST}"
    place.make({"image": image, **RUN, "mounts": [{"volume": volume, "path": "/data"}]}, name="db-1")
    place.make({"image": image, "schedule": "daily", "init": {"cmd": ["exit", "0"]}}, name="cron-1", state="stopped")
    place.make({"image": image, **RUN}, name="far-1", region="ams")
    place.make({"image": image, **RUN}, name="gone-1", region="bos")
    place.make(
        {"containers": [{"name": "main", "image": "a:1", "cmd": ["run", "9"]}, {"name": "side", "image": "b:1"}]},
        name="two-1",
        skip_launch=True,
        state="stopped",
    )
    ended = place.run("import", "shop")
    assert f"volumes stay as they are: {volume}" in ended.err
    assert "region 'bos' is not in the platform's list" in ended.err
    place.imported()
    place.take_over()


SETTINGS = [one for one in PROPERTIES if one.path not in ODD]


@given(st.lists(st.tuples(st.sampled_from(SETTINGS), st.integers(0, 1)), max_size=6), st.booleans(), st.booleans())
@settings(max_examples=10)
def test_whatever_is_set_the_machine_keeps_its_version_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[tuple[Any, int]], is_stopped: bool, is_fly: bool
) -> None:
    with VirtualEngine() as engine:
        place = Place(engine, tmp_path_factory.mktemp("import"))
        engine.script("run 99999")
        made = 0
        for one, number in chosen or [(SETTINGS[0], 0)]:
            config = {"image": "i:1"} | one.document(one.values[number % len(one.values)])
            config["metadata"] = config.get("metadata", {}) | (fly_metadata("app") if is_fly else {})
            body = {"region": "iad", "config": config, "skip_launch": is_stopped}
            made += place.api.post("/apps/shop/machines", json=body).is_success
        if not made:
            return  # the platform takes none of them
        for machine in engine.machines("shop"):
            engine.run(engine.wait_for_state("shop", machine["id"], "started", "stopped"))
        place.imported("--all-values")
        place.take_over()


@pytest.mark.parametrize(
    ("words", "environment", "code", "told"),
    [
        ([], {}, 64, "name the app"),
        (["shop", "-a", "other"], {}, 64, "both shop and --app other"),
        (["nope"], {}, 1, "there is no app nope"),
        (["nope"], {}, 1, "the local engine has only apps that were made on it"),
        (["A B"], {}, 1, "cannot be the name of an app"),
        (["shop", "--name", "A"], {}, 1, "cannot be the name of a stack"),
        (["shop", "--org", "A"], {}, 1, "cannot be an organisation's slug"),
        (["shop", "--skip", "x"], {}, 1, "has no machine x to skip"),
        (["shop"], {}, 1, "app shop has no machine to take over"),
        ([], {"FLY_APP": "shop"}, 1, "app shop has no machine to take over"),
        (["-a", "shop"], {"FLY_APP": "other"}, 1, "app shop has no machine to take over"),
    ],
)
def test_what_cannot_be_imported_is_said_and_nothing_is_printed(
    place: Place, words: list[str], environment: dict[str, str], code: int, told: str
) -> None:
    ended = place.run("import", *words, **environment)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err


def test_machines_of_a_stack_are_refused_with_its_name_and_can_be_skipped(place: Place) -> None:
    place.make({"image": "i:1", **RUN, "metadata": {"reconciler_stack": "other"}}, name="theirs-1")
    place.make({"image": "i:1", **RUN}, name="mine-1")
    ended = place.run("import", "shop")
    assert (ended.code, ended.out) == (1, "")
    assert "theirs-1" in ended.err
    assert "belongs to stack other" in ended.err
    assert "theirs" not in place.imported("--skip", "theirs-1")


def test_json_has_the_spec_or_the_problems_and_what_is_kept(place: Place) -> None:
    schema = strict(json.loads((SCHEMAS / "import.schema.json").read_text()))
    place.make({"image": "i:1", **RUN, "env": SECRETS}, name="mine-1")
    ended = place.run("import", "shop", "-o", "json", "--name", "stack", "--org", "own")
    document = json.loads(ended.out)
    Draft202012Validator(schema).validate(document)
    assert document["spec"].split("apps:")[0].endswith("version: 1\nname: stack\n")
    assert "org: own" in document["spec"]
    assert (document["variables"], document["machines"]) == (["DB_PASSWORD", "DATABASE_URL"], 1)
    assert document["kept"] == {"secrets": [], "addresses": [], "certificates": [], "volumes": []}
    place.make({"image": "i:1", **RUN, "metadata": {"reconciler_stack": "other"}}, name="theirs-1")
    ended = place.run("import", "shop", "-o", "json")
    document = json.loads(ended.out)
    Draft202012Validator(schema).validate(document)
    assert (ended.code, document["spec"], len(document["problems"])) == (1, None, 1)


class Without(httpx.AsyncBaseTransport):
    """A server whose token may not read something."""

    def __init__(self, inner: httpx.AsyncBaseTransport, part: str, status: int) -> None:
        self._inner, self._part, self._status = inner, part, status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith(self._part):
            return httpx.Response(self._status, json={"error": "unauthorized"})
        return await self._inner.handle_async_request(request)


@pytest.mark.parametrize(
    ("part", "status", "code"), [("/machines", 401, 1), ("/machines", 403, 1), ("/secrets", 403, 0)]
)
def test_what_the_token_may_not_read_is_an_error_or_said(place: Place, part: str, status: int, code: int) -> None:
    place.make({"image": "i:1", **RUN}, name="mine-1")
    line = CommandLine(place.engine, Without(place.engine.transport, part, status), place.directory)
    ended = line.run("import", "shop")
    assert (ended.code, bool(ended.out)) == (code, code == 0)
    assert ("token" if code else "the app's secrets could not be read") in ended.err


def test_a_token_of_the_tool_is_never_in_the_spec(place: Place) -> None:
    place.make({"image": "i:1", **RUN, "env": {"A": f"x{place.engine.token}y"}}, name="mine-1")
    ended = place.run("import", "shop", "--all-values")
    assert (ended.code, place.engine.token in ended.out) == (0, False)
    assert 'A: "${A}"' in ended.out


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_of_the_tool_where_no_variable_can_stand_is_refused(place: Place, form: str) -> None:
    place.make({"image": f"i:{place.engine.token}", **RUN}, name="mine-1")
    ended = place.run("import", "shop", "-o", form)
    assert (ended.code, place.engine.token in ended.out + ended.err) == (1, False)
    assert "would show a token of yours" in ended.err
    assert "spec" not in json.loads(ended.out) if form == "json" else not ended.out


def test_text_that_a_pipeline_would_take_for_a_command_is_spelled_so_that_it_is_none(place: Place) -> None:
    env = {"A": "::error::x", "B": "##[group]", "C": "one\n::set-output name=x::y\n"}
    place.make({"image": "i:1", **RUN, "env": env}, name="mine-1")
    text = place.imported()
    assert not any(line.strip().startswith("::") or "##[" in line for line in text.splitlines())
    place.take_over()
