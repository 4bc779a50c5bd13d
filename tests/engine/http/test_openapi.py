"""The engine against Fly's OpenAPI document: schemathesis sends it what the document allows, and what it does not.

Where the document and the facts about the live API differ, the facts win; each such difference is written down here.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance

from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.openapi import document

pytestmark = pytest.mark.slow

# What calls may answer besides what the document says: errors for wrong input, unknown names, states and leases.
ERRORS = frozenset({400, 404, 405, 408, 409, 412, 413, 422})
# What cannot mean anything on one computer.
NOT_HERE = re.compile(
    r"certificates/|secretkeys/\{secret_name\}|ip_assignments|deploy_token|tokens/(authenticate|authorize|kms|oidc)"
)
_EXAMPLES = 20  # of each call, in each way
_REAL = 80  # of a hundred cases, as many have names in their paths that are there
# Members that are null in live answers where the document knows no null.
NULLABLE = ("request", "exec", "entrypoint", "cmd", "force_instance_key", "attached_machine_id", "attached_alloc_id")


def with_facts() -> dict[str, Any]:
    """Return Fly's document, with the members that may be null, and with `autostop` as it is told: true or false."""
    found = document()
    autostop = found["components"]["schemas"]["fly.MachineService"]["properties"]["autostop"]
    autostop |= {"type": ["string", "boolean"], "enum": [*autostop["enum"], True, False]}
    for schema in found["components"]["schemas"].values():
        for name, member in schema.get("properties", {}).items():
            if name in NULLABLE:
                schema["properties"][name] = {"anyOf": [member, {"type": "null"}]}
    return found


@dataclass
class Live:
    """A live engine with something of everything, for names in paths to mean something."""

    root: str  # the document's paths begin with /v1
    headers: dict[str, str]
    http: httpx.Client
    count: int = 0
    statuses: dict[int, int] = field(default_factory=dict)

    def names(self) -> dict[str, list[str]]:
        """The names that are there now; what a case has destroyed is made anew."""
        if self.http.get("/apps/app").status_code == 404:
            self.http.post("/apps", json={"app_name": "app", "org_slug": "personal"})
        machines = []
        for one in self.http.get("/apps/app/machines").json():
            machines.append(one["id"])
            if one.get("nonce"):  # a stop or a destroy would wait for it to expire
                nonce = {"fly-machine-lease-nonce": one["nonce"]}
                self.http.delete(f"/apps/app/machines/{one['id']}/lease", headers=nonce)
        for words in (["sleep", "100"], ["true"])[: max(0, 3 - len(machines))]:
            config = {"image": "i", "init": {"exec": words}, "restart": {"policy": "no"}}
            machines.append(self.http.post("/apps/app/machines", json={"config": config}).json()["id"])
        volumes = [one["id"] for one in self.http.get("/apps/app/volumes").json()]
        if not volumes:
            volumes = [self.http.post("/apps/app/volumes", json={"name": "data", "size_gb": 1}).json()["id"]]
        self.http.post("/apps/app/secrets/SECRET", json={"value": "canary"})
        return {
            "app_name": ["app"],
            "machine_id": machines,
            "volume_id": volumes,
            "secret_name": ["SECRET"],
            "org_slug": ["personal"],
        }

    def check(self, case: schemathesis.Case[Any], *, is_valid: bool = True) -> None:
        """Sends the case, and looks whether the answer may be. What a wrong one made is not left for others to see:
        the engine gives back what it was sent.
        """
        self.count += 1
        response = case.call(base_url=self.root, headers=self.headers, timeout=70)
        self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
        label = f"{case.operation.label} {case.path_parameters} {case.query} {case.body!r}: {response.text[:300]}"
        documented = {int(code) for code in case.operation.definition.raw["responses"] if code.isdigit()}
        allowed = documented | ERRORS | ({501} if NOT_HERE.search(case.operation.path) else set())
        assert response.status_code in allowed, f"{response.status_code} of {label}"
        if response.status_code >= 400:
            assert response.headers["content-type"] == ["application/json"], label
            assert isinstance(response.json()["error"], str), label
        elif not is_valid:
            if case.operation.method == "post" and "config" in response.text and "image_ref" in response.text:
                self.http.delete(f"/apps/app/machines/{response.json()['id']}?force=true")
        elif response.status_code in documented:
            case.validate_response(response, checks=[response_schema_conformance])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The engine finds two commands and no others, whatever it is told to run."""
    folder = tmp_path_factory.mktemp("openapi")
    (folder / "bin").mkdir()
    for name in ("sleep", "true"):
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "bin"))
        status = start_engine(folder / "home", extra=("--latency", "none"))
    headers = {"Authorization": f"Bearer {read_token(folder / 'home')}"}
    with httpx.Client(base_url=f"{status.url}/v1", headers=headers, timeout=70, trust_env=False) as http:
        live = Live(root=str(status.url), headers=headers, http=http)
        yield live
        print(f"{live.count} calls: {dict(sorted(live.statuses.items()))}")
    stop_engine(folder / "home")


def labels() -> list[str]:
    paths: dict[str, dict[str, Any]] = document()["paths"]
    methods = ("get", "post", "put", "patch", "delete")
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in methods if method in item]


def asked(operation: Any, mode: GenerationMode, live: Live) -> None:
    """Asks the operation again and again, mostly of what is there."""

    examples = _EXAMPLES if not operation.path.endswith("/wait") else 5  # most of these take a second

    @settings(max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), pick=st.integers(0, 99))
    def ask(case: schemathesis.Case[Any], pick: int) -> None:
        names = live.names()
        for name in case.path_parameters or {}:
            if name in names and pick < _REAL:
                case.path_parameters[name] = names[name][pick % len(names[name])]
        if operation.path.endswith("/wait") and isinstance(case.query, dict):
            given_s = str(case.query.get("timeout", 1))
            case.query["timeout"] = 1 if pick < _REAL or given_s.isdigit() else given_s
        live.check(case, is_valid=mode is GenerationMode.POSITIVE)

    ask()


@pytest.mark.parametrize("label", labels())
def test_no_call_gets_an_answer_outside_the_document_and_the_facts(label: str, live: Live) -> None:
    method, _, path = label.partition(" ")
    operation = schemathesis.openapi.from_dict(with_facts())[path][method]
    asked(operation, GenerationMode.POSITIVE, live)
    if operation.body or operation.query:
        asked(operation, GenerationMode.NEGATIVE, live)


def test_no_sequence_of_calls_gets_an_answer_outside_the_document_and_the_facts(live: Live) -> None:
    schema = schemathesis.openapi.from_dict(with_facts())
    begun = live.count

    class Sequences(schema.as_state_machine()):  # type: ignore[misc]
        def call(self, case: schemathesis.Case[Any], **_options: Any) -> Any:
            if case.operation.path.endswith("/wait"):
                case.query = {**(case.query or {}), "timeout": 1}
            live.check(case)
            return case.call(base_url=live.root, headers=live.headers)

        def validate_response(self, response: Any, case: schemathesis.Case[Any], **_options: Any) -> None:
            """Live.check has done it."""

    Sequences.run(
        settings=settings(
            max_examples=40, stateful_step_count=12, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
    )
    assert live.count - begun > 100
