"""`reconciler engine conform`: what it asks for, prints and ends with, in process on virtual time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from reconciler.conformance.catalogue import PROBES
from reconciler.machines_api.raw import RawApi
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended
from tests.support.examined import SCRIPTS, named
from tests.support.quirks import EndsLongWaits, Quirky
from tests.support.schemas import SCHEMAS, strict

URL = VirtualEngine.url


class Conform:
    """Runs the command on an engine, with the probes of these names alone."""

    def __init__(self, engine: VirtualEngine, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self.transport: httpx.AsyncBaseTransport = engine.transport
        self._line = CommandLine(engine, engine.transport, directory)
        patch.setattr("reconciler.machines_api.raw.RawApi", self._api)
        self.only = patch

    def _api(self, **options: Any) -> RawApi:
        return RawApi(**options | {"transport": Quirky(self.transport)})

    def __call__(self, *words: str, probes: tuple[str, ...] = ("A1", "A2", "wait of 61 s")) -> Ended:
        self.only.setattr("reconciler.conformance.catalogue.PROBES", tuple(named(*probes)))
        return self._line.run("engine", "conform", *words)


@pytest.fixture
def conform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conform]:
    with VirtualEngine() as engine:
        for names, words in SCRIPTS.items():
            engine.script(" ".join(words), machine=names)
        yield Conform(engine, tmp_path, monkeypatch)


def test_where_all_holds_it_ends_with_0_and_says_what_it_costs_and_what_could_not_be_tried(conform: Conform) -> None:
    ended = conform(URL, "--app", "probe", "--yes")
    assert ended.code == 0
    assert f"3 probes of {URL}, on a new app probe: about 15 machines" in ended.err
    assert "Could not be tried" in ended.out
    assert "2 hold, 0 differ, 1 could not be tried of 3 probes; 1 machine was made" in ended.out
    assert "GET lease returns the description" not in ended.out
    assert "GET lease returns the description" in conform(URL, "--app", "probe", "--yes", "-v").out


def test_what_differs_is_a_row_and_the_code_1(conform: Conform) -> None:
    conform.transport = EndsLongWaits(conform.engine.transport)
    ended = conform(URL, "--app", "probe", "--yes")
    assert ended.code == 1
    assert "wait of 61 s: differs: 200" in ended.err
    rows = [line.split() for line in ended.out.splitlines() if line.startswith("  wait of 61 s")]
    assert rows == [["wait", "of", "61", "s", "400", "200"]]


def test_the_document_is_that_of_its_schema(conform: Conform) -> None:
    schema = json.loads((SCHEMAS / "conformance.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    for transport, code in ((conform.engine.transport, 0), (EndsLongWaits(conform.engine.transport), 1)):
        conform.transport = transport
        ended = conform(URL, "--app", "probe", "--yes", "-o", "json")
        document = json.loads(ended.out)
        Draft202012Validator(strict(schema)).validate(document)
        assert ended.code == code
        assert document["conforms"] is (code == 0)
        assert document["counts"] == {"holds": 2 - code, "differs": code, "untried": 1}
        assert [probe["name"] for probe in document["probes"]] == ["A1", "A2", "wait of 61 s"]


def test_without_consent_or_a_name_nothing_is_sent(conform: Conform) -> None:
    ended = conform(URL, "--app", "probe")
    assert ended.code == 1
    assert "there is no terminal to ask on" in ended.err
    assert conform(URL, "--yes").code == 64
    assert conform("--app", "probe", "--yes").code == 64
    assert conform("https://elsewhere.example", "--app", "probe", "--yes").code == 64
    assert conform.engine.requests == []


def test_an_app_that_exists_is_refused_before_anything_is_made(conform: Conform) -> None:
    conform.engine.client().post("/apps", json={"app_name": "probe", "org_slug": "personal"})
    ended = conform(URL, "--app", "probe", "--yes")
    assert ended.code == 1
    assert "the app probe exists already" in ended.err
    assert "choose another name" in ended.err
    assert conform.engine.client().get("/apps/probe").status_code == 200


def test_what_cannot_be_deleted_is_said_with_the_way_to_do_it(conform: Conform) -> None:
    class Keeps(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE" and request.url.path == "/v1/apps/probe":
                return httpx.Response(500, json={"error": "unknown: it broke"})
            return await self.answered(request)

    conform.transport = Keeps(conform.engine.transport)
    ended = conform(URL, "--app", "probe", "--yes")
    assert ended.code == 1
    assert "Left: the app probe, with its machines: its deletion answers 500 unknown: it broke" in ended.out
    assert f"curl -X DELETE -H \"Authorization: Bearer $FLY_API_TOKEN\" '{URL}/v1/apps/probe?force=true'" in ended.err
    assert conform.engine.client().get("/apps/probe/machines").json() == []


def test_image_and_region_are_those_of_the_machines(conform: Conform) -> None:
    bodies: list[dict[str, Any]] = []

    class Notes(Quirky):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(("/machines", "/apps")) and request.method == "POST":
                bodies.append(json.loads(request.content))
            return await self.answered(request)

    conform.transport = Notes(conform.engine.transport)
    words = ("--org", "mine", "--region", "ams", "--image", "alpine:3")
    assert conform(URL, "--app", "probe", "--yes", *words, probes=("A1",)).code == 0
    app, machine = bodies
    assert app["org_slug"] == "mine"
    assert (machine["region"], machine["config"]["image"]) == ("ams", "alpine:3")
    assert machine["config"]["guest"] == {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}


def test_an_app_of_another_organization_is_asked_for_again_by_its_key_there(conform: Conform) -> None:
    words = ("--org", "mine", "-o", "json")
    ended = conform(URL, "--app", "probe", "--yes", *words, probes=("app with its key",))
    [probe] = json.loads(ended.out)["probes"]
    assert probe["verdict"] == "holds", probe["seen"]


def test_all_probes_are_run_by_default(conform: Conform) -> None:
    ended = conform(URL, "--app", "probe", "--yes", "-o", "json", probes=tuple(probe.name for probe in PROBES))
    document = json.loads(ended.out)
    assert [one for one in document["probes"] if one["verdict"] == "differs"] == []
    assert len(document["probes"]) == len(PROBES)
    assert ended.code == 0
