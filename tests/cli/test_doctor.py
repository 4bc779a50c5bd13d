"""`reconciler doctor` as a whole: on a fresh laptop, with each thing missing or broken, and on a dead network."""

import base64
import hashlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.main import run
from reconciler.engine.server.daemon import EngineStatus, lock_home, prepare_home
from reconciler.operations.doctor import here
from tests.support.all_transports import answer_all, answer_none
from tests.support.environment import clear_environment
from tests.support.schemas import SCHEMAS, strict

pytestmark = pytest.mark.slow

SPEC = "version: 1\nname: shop\napps: {shop: {image: %s, tasks: {t: {command: [x]}}}}\n"
TOKEN = "fm2_aSecretThatNobodyPrints"
CONFIG = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
MANIFEST = json.dumps({
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": {"digest": f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"},
    "layers": [],
}).encode()  # fmt: skip
LOGIN = f"Basic {base64.b64encode(f'x:{TOKEN}'.encode()).decode()}"
LEVELS = ("ok", "warn", "fail", "skip")


class Line(NamedTuple):
    """A line of the output, with what stands below it."""

    level: str
    check: str
    text: str


class Doctor:
    """Runs the command, and reads its lines."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self.set = monkeypatch.setenv
        self.code = 0
        self._capture = capsys

    def __call__(self, *words: str) -> list[Line]:
        self.code = run(["doctor", *words])
        shown = self._capture.readouterr()
        assert shown.err == ""
        assert TOKEN not in shown.out
        *lines, nothing, self.counts = shown.out.splitlines()
        assert nothing == ""
        found: list[Line] = []
        for line in lines:
            if line.startswith(LEVELS):
                level, check, text = line.split(maxsplit=2)
                found.append(Line(level, check, text))
            else:
                found[-1] = found[-1]._replace(text=f"{found[-1].text} {line.strip()}")
        assert self.code == any(line.level == "fail" for line in found)
        return found

    def of(self, check: str, *words: str) -> list[Line]:
        return [line for line in self(*words) if line.check == check]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """The command on a fresh laptop: no account, no spec, no engine, no git, no builder, and no network."""
    clear_environment(monkeypatch)
    monkeypatch.delenv("RECONCILER_RESOLVE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    online(monkeypatch, lambda _request: None)
    return Doctor(tmp_path, monkeypatch, capsys)


def online(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response | None]) -> None:
    """Lets the network answer so; None is no connection."""

    async def handle(_transport: object, request: httpx.Request) -> httpx.Response:
        if found := answer(request):
            return found
        raise httpx.ConnectError("no network")

    answer_all(monkeypatch, handle)


def the_world(request: httpx.Request) -> httpx.Response | None:
    """Answers as Fly and two registries do."""
    path = request.url.path
    match request.url.host:
        case "api.machines.dev" if path == "/v1/platform/regions":
            return httpx.Response(200, json={"Regions": []})
        case "api.machines.dev" if path == "/v1/tokens/current":
            return httpx.Response(200, json={"tokens": [{"org_slug": "acme", "apps": ["shop"]}]})
        case "api.machines.dev":
            return httpx.Response(200, json={"name": "shop"})
        case "registry.fly.io" if request.headers.get("authorization") != LOGIN:
            return httpx.Response(401, headers={"www-authenticate": "Basic realm=x"})
        case "closed.example":
            return httpx.Response(401, headers={"www-authenticate": "Basic realm=x"})
        case "registry.fly.io" | "open.example" if "nosuch" not in path:
            return httpx.Response(200, content=CONFIG if "/blobs/" in path else MANIFEST)
        case _:
            return httpx.Response(404, json={})


def test_a_fresh_laptop_needs_no_account_for_the_local_target(doctor: Doctor) -> None:
    for has_spec in (False, True):
        if has_spec:
            (doctor.place / "machines.yaml").write_text(SPEC % "i")
        found = doctor("--target", "local")
        assert {line.level for line in found} <= {"ok", "skip"}
        assert (doctor.code, doctor.counts) == (0, "Nothing is wrong.")
        assert not (doctor.place / "home").exists()
    assert {line.check for line in found} == {
        "spec", "token", "target", "apps", "registry", "builder", "git", "engine"
    }  # fmt: skip


def test_without_a_token_or_a_network_it_says_what_to_do(doctor: Doctor) -> None:
    by_check = {line.check: line for line in doctor()}
    assert by_check["token"].level == by_check["target"].level == "fail"
    assert "fly auth login" in by_check["token"].text
    assert "check the URL and the network" in by_check["target"].text
    assert doctor.counts == "2 failed, 2 to look at"


def test_with_all_of_it_everything_is_ok(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    online(monkeypatch, the_world)
    (doctor.place / ".fly").mkdir()
    (doctor.place / ".fly" / "config.yml").write_text(f"access_token: {TOKEN}\n")
    (doctor.place / "machines.yaml").write_text(SPEC % "registry.fly.io/shop:1")
    found = [line for line in doctor() if line.check not in {"git", "builder"}]
    assert [(line.level, line.check) for line in found] == [
        ("ok", check) for check in ("spec", "token", "target", "apps", "registry", "engine")
    ]
    assert found[0].text == "machines.yaml: the stack shop, 1 app, 1 pool, 1 machine"
    assert found[1].text == "of flyctl's config.yml: a deploy token, for shop of acme"
    assert found[4].text == "registry.fly.io: 1 image found"


@pytest.mark.parametrize(
    ("text", "words", "level", "shown"),
    [
        (None, [], "skip", "`reconciler init` writes"),
        (None, ["-f", "none.yaml"], "fail", "there is no file none.yaml"),
        (SPEC % "'i:${TAG}'", [], "fail", "${TAG} is not set → set it"),
        (SPEC % "i" + "extra: 1\n", [], "fail", "machines.yaml:4:1"),
        (SPEC % "i", ["--environment", "prod"], "fail", "has no environment 'prod'"),
        (SPEC % "i", ["-a", "nosuch"], "fail", "has no app 'nosuch'"),
    ],
)
def test_the_spec(doctor: Doctor, text: str | None, words: list[str], level: str, shown: str) -> None:
    (doctor.place / ".git").mkdir()
    if text:
        (doctor.place / "machines.yaml").write_text(text)
    first = doctor.of("spec", "--target", "local", *words)[0]
    assert first.level == level
    assert shown in first.text


@pytest.mark.parametrize(("errors", "rest"), [(9, "4 more errors"), (6, "1 more error")])
def test_of_many_errors_the_first_are_shown(doctor: Doctor, errors: int, rest: str) -> None:
    pools = ", ".join(f"p{number}: {{coumt: 1}}" for number in range(errors))
    (doctor.place / "machines.yaml").write_text(f"version: 1\nname: s\napps: {{a: {{image: i, tasks: {{{pools}}}}}}}\n")
    found = doctor.of("spec", "--target", "local")
    assert len(found) == 6
    assert found[-1].text == f"{rest} → `reconciler validate` shows them"


@pytest.mark.parametrize(
    ("image", "level", "text"),
    [
        ("open.example/shop:1", "ok", "open.example: 1 image found"),
        ("open.example/nosuch:1", "fail", "there is no such image"),
        ("closed.example/shop:1", "fail", "log in with `docker login closed.example`"),
        ("gone.example/shop:1", "fail", "there is no such image"),
        ("registry.fly.io/shop:1", "ok", "registry.fly.io: 1 image found"),
    ],
)
def test_the_registry(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, image: str, level: str, text: str) -> None:
    online(monkeypatch, the_world)
    doctor.set("FLY_API_TOKEN", TOKEN)
    (doctor.place / "machines.yaml").write_text(SPEC % image)
    [found] = doctor.of("registry")
    assert found.level == level
    assert text in found.text


def test_where_the_spec_builds_the_login_and_a_builder_are_needed(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    online(monkeypatch, the_world)
    doctor.set("FLY_API_TOKEN", TOKEN)
    (doctor.place / "machines.yaml").write_text(SPEC.replace("image: %s", "build: {context: .}"))
    by_check = {line.check: line for line in doctor()}
    assert by_check["registry"][0::2] == ("ok", "registry.fly.io: the login works")
    assert by_check["builder"].level == "fail"
    assert "install one of docker, podman, buildah" in by_check["builder"].text
    program(doctor, "docker", "exit 1")
    [found] = doctor.of("builder")
    assert (found.level, "docker is installed and does not answer: start it" in found.text) == ("fail", True)
    program(doctor, "docker", 'echo "{}"')
    assert doctor.of("builder")[0][0::2] == ("ok", f"docker answers ({doctor.place}/bin/docker)")
    doctor.set("FLY_API_TOKEN", "fm2_another")
    [found] = doctor.of("registry")
    assert (found.level, "registry registry.fly.io: the registry does not let us" in found.text) == ("fail", True)


def program(doctor: Doctor, name: str, text: str) -> None:
    """Puts a program of this name where programs are looked for."""
    file = doctor.place / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(("value", "level", "text"), [("never", "skip", "are not looked up"), ("x", "fail", "not 'x'")])
def test_the_registry_is_asked_as_the_environment_says(doctor: Doctor, value: str, level: str, text: str) -> None:
    doctor.set("RECONCILER_RESOLVE", value)
    (doctor.place / "machines.yaml").write_text(SPEC % "open.example/shop:1")
    [found] = doctor.of("registry")
    assert found.level == level
    assert text in found.text


def test_git(doctor: Doctor) -> None:
    (doctor.place / "machines.yaml").write_text(SPEC % "i")
    [found] = doctor.of("git")
    assert (found.level, "git is not installed → commit the spec, or pass" in found.text) == ("warn", True)
    assert doctor.of("git", "--target", "local")[0].level == "skip"
    doctor.set("GITHUB_RUN_NUMBER", "7")
    assert "this is revision 7, from GITHUB_RUN_NUMBER" in doctor.of("git")[0].text
    git = shutil.which("git", path="/usr/local/bin:/usr/bin:/bin")
    assert git
    program(doctor, "git", f'exec {git} "$@"')
    made = "git init -q; git add machines.yaml; git -c user.name=x -c user.email=x@x commit -qm x"
    subprocess.run(["/bin/sh", "-c", made], cwd=doctor.place, check=True, timeout=60)
    assert doctor.of("git")[0].text.startswith("apply takes commit ")
    (doctor.place / "machines.yaml").unlink()
    assert doctor.of("git")[0].text.startswith("at commit ")


def test_the_engines_home(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = doctor.of("engine", "--target", "local")
    assert found.text == f"can start in {doctor.place / 'home'}, with the process runtime"
    (doctor.place / "file").touch()
    doctor.set("RECONCILER_HOME", str(doctor.place / "file" / "home"))
    [found] = doctor.of("engine", "--target", "local")
    assert (found.level, "set RECONCILER_HOME to one of yours" in found.text) == ("fail", True)
    assert doctor.of("engine")[0].level == "warn"  # Fly needs no engine
    doctor.set("RECONCILER_HOME", str(doctor.place / "home"))
    for free, level in ((100 * 2**20, "warn"), (2**20, "fail")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: shutil._ntuple_diskusage(1, 1, free))
        assert doctor.of("engine", "--target", "local")[1].level == level


def test_a_lock_that_nobody_answers_for(doctor: Doctor) -> None:
    home = doctor.place / "home"
    prepare_home(home)
    with lock_home(home):
        [found] = doctor.of("engine", "--target", "local")
    assert (found.level, "no engine answers there" in found.text) == ("fail", True)


def test_an_engine_of_another_version_and_runtime(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    running = EngineStatus(running=True, url="http://127.0.0.1:1", pid=1, runtime="process", version="0.0.1")
    monkeypatch.setattr(here, "engine_status", lambda _home: running)
    doctor.set("RECONCILER_RUNTIME", "container")
    found = doctor.of("engine")
    assert [line.level for line in found] == ["ok", "warn", "warn"]
    assert "is of version 0.0.1" in found[1].text
    assert "`reconciler engine stop`" in found[2].text


@pytest.mark.parametrize(
    ("runtime", "host", "text"),
    [
        (
            "container",
            "unix:///nonexistent/docker.sock",
            "no container engine answers: no answer from unix:///nonexistent",
        ),
        ("container", "ssh://there", "only unix:// and tcp:// are understood"),
        ("docker", "", "RECONCILER_RUNTIME is 'docker', and there are process and container"),
    ],
)
def test_a_runtime_that_cannot_start(doctor: Doctor, runtime: str, host: str, text: str) -> None:
    doctor.set("RECONCILER_RUNTIME", runtime)
    doctor.set("DOCKER_HOST", host)
    home, problem = doctor.of("engine", "--target", "local")
    assert (home.level, problem.level) == ("ok", "fail")
    assert text in problem.text
    assert "→" in problem.text


@pytest.fixture
def dead_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A name server that never answers; the event says that it was asked."""
    asked, end = threading.Event(), threading.Event()

    def look_up(*_words: Any, **_options: Any) -> Any:
        asked.set()
        end.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    end.set()


def test_a_name_server_that_never_answers_holds_nothing_up(
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    dead_name_server: threading.Event,
) -> None:
    answer_none(monkeypatch)
    monkeypatch.setattr("reconciler.machines_api.endpoints._ADVICE_TIMEOUT_S", 0.05)
    monkeypatch.setattr("reconciler.images.wire._TIMEOUT_S", 0.05)
    doctor.set("FLY_API_TOKEN", TOKEN)
    by_check = {line.check: line for line in doctor()}
    assert dead_name_server.is_set()
    assert (by_check["target"].level, by_check["token"].level, by_check["registry"].level) == ("fail", "skip", "warn")


def test_as_json_it_is_what_its_schema_says(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    online(monkeypatch, the_world)
    doctor.set("FLY_API_TOKEN", TOKEN)
    (doctor.place / "machines.yaml").write_text(SPEC % "open.example/nosuch:1")
    schema = json.loads((SCHEMAS / "doctor.schema.json").read_text())
    for words in ([], ["--target", "local"], ["--target", "http://127.0.0.1:1"], ["-f", "none.yaml"]):
        code = run(["doctor", "-o", "json", *words])
        document = json.loads(capsys.readouterr().out)
        Draft202012Validator(strict(schema)).validate(document)
        assert document["healthy"] is (code == 0)
    assert run(["doctor", "-o", "json"]) == 1
    told = {one["check"]: one["facts"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert told["token"]["kind"] == "deploy"
    assert told["token"]["organizations"] == ["acme"]
    assert told["apps"] == {"apps": ["shop"]}


def test_on_a_narrow_terminal_lines_are_wrapped_under_their_text(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reconciler.cli.ui.console.line_width", lambda: 60)
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if str(doctor.place) not in line) <= 60
    assert any(line.startswith(" " * 16 + "→ run `fly auth login`") for line in lines)
