"""Marked secrets are planted wherever one can stand; no output of any verb, in any format, on any day, shows one.

Nor does any output hold a character that a terminal would act upon, or a line that a pipeline would take for a command.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import prepare_home, start_engine, stop_engine
from tests.support.environment import clear_environment
from tests.support.hasty import hasten
from tests.support.reflecting import Reflecting, reflecting

pytestmark = pytest.mark.slow

TOKEN = "canary-token-0123456789"
FILE = "canary-file-content"
SPEC = f"""
version: 1
name: stack
apps:
  app:
    image: i:1
    env:
      LITERAL: canary-literal
      SECRET: '${{SECRET}}'
      QUOTED: 'canary "quoted" \\ back'
      PEM: "-----BEGIN KEY-----\\ncanaryPEMfirst\\ncanaryPEMsecond\\n-----END KEY-----"
    tasks:
      work:
        command: ['true']
        overrides: {{args: true, env: [LITERAL]}}
        files: [{{path: /a, content: {FILE}}}]
        config:
          checks: {{up: {{type: http, port: 1, headers: [{{name: X-Key, values: [canary-check-header]}}]}}}}
        count: COUNT
      several:
        processes: [{{command: ['true'], env: {{OWN: canary-of-a-process}}}}]
    services:
      web:
        command: [sleep, '1000']
        rollout: {{min_healthy: 0s}}
"""
PIPELINES_TOKEN = "ghp_canary/of+a=pipeline"
_BASE64 = [base64.b64encode(b"\0" * before + b"canary").decode()[first:][:7] for before, first in enumerate((0, 2, 3))]
CANARY = re.compile("|".join(["canary", *map(re.escape, _BASE64)]))
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
COMMAND = re.compile(r"^\s*::[a-z-]+.*::|##[a-z]*\[", re.MULTILINE)
FORMATS = ("text", "json", "markdown", "html", "gitlab")


class Watched:
    """Runs verbs against the reflecting server, and searches all that they say."""

    def __init__(self, server: Reflecting, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.directory = directory
        self._capsys = capsys
        self.said = ""

    def __call__(self, *arguments: str) -> int:
        code = run(list(arguments))
        captured = self._capsys.readouterr()
        said = captured.out + captured.err
        self.said += said
        for what, found in {
            "a secret": CANARY.search(said),
            "a control character": CONTROL.search(said),
            "a command": COMMAND.search(said),
            "a nonce": next((nonce for nonce in self.server.nonces if nonce in said), None),
        }.items():
            assert not found, f"{arguments} shows {what}: {found!r} in\n{said}"
        return code

    def declare(self, *, count: int = 1, text: str = SPEC) -> None:
        (self.directory / "machines.yaml").write_text(text.replace("COUNT", str(count)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an engine that does not run yet, in an environment full of secrets."""
    clear_environment(monkeypatch)
    hasten(monkeypatch)
    home = tmp_path / "home"
    monkeypatch.setenv("RECONCILER_HOME", str(home))
    monkeypatch.setenv("FLY_API_TOKEN", f"FlyV1 {TOKEN}")
    monkeypatch.setenv("SECRET", "canary-of-the-environment")
    monkeypatch.setenv("GITHUB_TOKEN", PIPELINES_TOKEN)
    monkeypatch.chdir(tmp_path)
    prepare_home(home)
    (home / "token").write_text(TOKEN + "\n")
    return home


@pytest.fixture
def alone(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Watched]:
    """Where no verb gets as far as the engine."""
    with reflecting("http://127.0.0.1:1") as server:
        monkeypatch.setenv("RECONCILER_TARGET", server.url)
        yield Watched(server, home.parent, capsys)
        assert not server.requests


@pytest.fixture
def watched(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Watched]:
    with reflecting(str(start_engine(home).url)) as server:
        monkeypatch.setenv("RECONCILER_TARGET", server.url)
        watched = Watched(server, home.parent, capsys)
        watched.declare()
        yield watched
    stop_engine(home)
    for path in (path for path in home.rglob("*.log") if path.is_file()):
        assert not CANARY.search(path.read_text(errors="replace")), path


def change_by_hand(watched: Watched) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{watched.server.url}/v1/apps/app", headers=headers, trust_env=False) as http:
        machine = next(one for one in http.get("/machines").json() if one["name"] == "work-iad-0")
        config = machine["config"] | {"env": {"LITERAL": "canary-by-hand", "\x1b[31m::error::name": "canary-x"}}
        config["metadata"] |= {"fly_flyctl_version": "##[add-mask]\x9b31m\u202eturned"}
        body = {"config": config, "skip_launch": True}
        assert http.post(f"/machines/{machine['id']}", json=body).status_code == 200
        foreign = {"name": "::warning::\u202ename\x07", "config": {"image": "i", "env": {"A": "canary-foreign"}}}
        http.post("/machines", json=foreign | {"skip_launch": True})


def every_view(watched: Watched) -> None:
    """Everything that shows and changes nothing."""
    (watched.directory / "old.yaml").write_text(SPEC.replace("COUNT", "1").replace("canary-literal", "canary-older"))
    for output in FORMATS:
        watched("plan", "-o", output, "--out", "plan.json")
        watched("show", "plan.json", "-o", output)
        watched("drift", "-o", output)
        watched("diff", "old.yaml", "machines.yaml", "-o", output)
    for output in ("text", "json"):
        for verb in ("validate", "status", "runs", "unlock"):
            watched(verb, "-o", output, "-v", "--trace-http")
    if Path("plan.json").exists():
        assert not CANARY.search(Path("plan.json").read_text())


def test_on_a_good_day(watched: Watched) -> None:
    every_view(watched)
    assert watched("apply", "--yes", "--trace-http", "--debug", "-v") == 0
    assert watched("invoke", "work", "-e", "LITERAL=canary-of-one-run", "--idempotency-key", "canary-key", "-v") == 0
    assert watched("invoke", "work", "--idempotency-key", "canary-key", "-o", "json") == 125  # the key is of another
    assert watched("invoke", "work", "--trace-http") == 0
    newest = re.findall(r"work-iad-0/[0-9A-Z]{26}", watched.said)[-1]
    for verb in ("wait", "logs", "cancel"):
        watched(verb, newest, "-o", "json", "--trace-http")
    change_by_hand(watched)
    watched.declare(count=2)
    every_view(watched)
    assert "someone else" in watched.said
    assert "foreign" in watched.said
    assert watched("apply", "--yes", "-o", "json") == 0
    watched.declare(count=1)
    assert watched("apply", "--yes", "-o", "markdown") == 0
    assert watched("destroy", "--yes", "-o", "markdown") == 0
    assert watched.server.nonces


@pytest.mark.parametrize("status", [403, 409])
def test_on_a_day_when_every_error_quotes_the_request(watched: Watched, status: int) -> None:
    assert watched("apply", "--yes") == 0
    watched.declare(count=2, text=SPEC.replace("canary-literal", "canary-changed"))

    def fails(_number: int, line: str) -> int | None:
        return status if line.startswith(("POST", "DELETE")) and "/lease" not in line else None

    watched.server.fails = fails
    for debug in ((), ("--trace-http", "-v")):
        watched("apply", "--yes", *debug)
        watched("apply", "--yes", "-o", "json" if debug else "markdown", *debug)
        watched(
            "invoke",
            "work",
            "-e",
            "LITERAL=canary-of-one-run",
            "--start-timeout",
            "1s",
            "--queue-timeout",
            "1s",
            *debug,
        )
        watched("destroy", "--yes", "--wait-busy", "0s", *debug)
    assert "***" in watched.said
    assert "quoted" in watched.said


@pytest.mark.parametrize("status", [401, 422, 500])
def test_on_a_day_when_every_answer_is_an_error_that_quotes_the_request(watched: Watched, status: int) -> None:
    watched.server.fails = lambda _number, _line: status
    # A 500 is waited out, so one verb stands for all there.
    for verb in ("plan",) if status == 500 else ("plan", "drift", "status", "runs", "unlock", "invoke"):
        more = ("work", "--queue-timeout", "1s") if verb == "invoke" else ()
        assert watched(verb, *more) != 0
        assert watched(verb, "-o", "json", "--trace-http", *more) != 0
    assert "***" in watched.said


TYPED = f"""
version: 1
name: stack
apps:
  app:
    image: registry.example/i:{TOKEN}
    env: {{A: '${{GITHUB_TOKEN}}'}}
    tasks:
      work:
        command: [curl, '-H', 'Authorization: Bearer {PIPELINES_TOKEN}', '-u', '{TOKEN}:x', '{"x" * 90}{TOKEN}']
        args: ['{base64.b64encode(f"x:{TOKEN}".encode()).decode()}', '{quote(PIPELINES_TOKEN, safe="")}']
        metadata: {{of: 'job {PIPELINES_TOKEN}'}}
        config: {{dns: {{searches: ['{PIPELINES_TOKEN}']}}}}
        count: COUNT
"""


def test_known_tokens_that_a_spec_spells_out(watched: Watched) -> None:
    watched.declare(text=TYPED)
    every_view(watched)
    assert "***" in Path("plan.json").read_text()
    assert watched("apply", "plan.json") == 0
    watched.declare(text=TYPED.replace("'-u'", "'-v'"), count=2)
    every_view(watched)
    assert watched("apply", "--yes", "--debug") == 0
    assert watched("plan", "--detailed-exitcode") == 0
    assert watched("status", "-a", PIPELINES_TOKEN) == 1
    assert watched("plan", "--only", PIPELINES_TOKEN, "--debug") == 1
    assert watched(PIPELINES_TOKEN) == 64
    assert watched("invoke", TOKEN, "--debug") == 125
    assert "Traceback" in watched.said


def test_a_token_from_the_environment_where_it_would_be_shown(alone: Watched) -> None:
    alone.declare(text=FLOW.replace("image: i", "image: 'i:${GITHUB_TOKEN}'").replace("canary-literal", "b"))
    for verb in ("validate", "plan", "invoke"):
        assert alone(verb, *(("work",) if verb == "invoke" else ())) == (125 if verb == "invoke" else 1)
    assert "machines.yaml:6:12: error: ${GITHUB_TOKEN} is a token" in alone.said


def _malformed(token: str) -> Iterator[tuple[str, str]]:
    quoted = token.rpartition(" ")[2]
    yield f"<html>{quoted}</html>", f"text/html; {quoted}"
    yield f'{{"error": "{quoted}", ', "application/json"
    yield json.dumps([{"id": quoted, "name": quoted, "state": quoted, "region": quoted, "config": None}]), "x/y"
    yield json.dumps([{"id": "1", "name": "work-iad-0", "config": {"metadata": {"reconciler_stack": quoted}}}]), ""
    yield json.dumps([{"id": "1", "name": f"{PIPELINES_TOKEN}{quoted}", "host_status": "unreachable"}]), "x/y"


@pytest.mark.parametrize("number", range(5))
def test_answers_that_make_no_sense_and_quote_the_token(watched: Watched, number: int) -> None:
    def says(line: str, token: str) -> tuple[str, str] | None:
        return list(_malformed(token))[number] if "/machines" in line and line.startswith("GET") else None

    watched.server.says = says
    for verb in ("plan", "drift", "status", "runs", "apply"):
        agreed = ("--yes",) if verb == "apply" else ()
        watched(verb, "--debug", "--trace-http", *agreed)
        watched(verb, "-o", "json", "-v", *agreed)
    assert watched.server.requests


FLOW = """
version: 1
name: s
apps:
  app:
    image: i
    env: {LITERAL: canary-literal}
    tasks: {t: {count: COUNT}}
"""
BROKEN_SPECS = {
    "a list": FLOW.replace("{LITERAL: canary-literal}", "[LITERAL=canary-literal]"),
    "a word": FLOW.replace("{LITERAL: canary-literal}", "canary-literal"),
    "a map in it": SPEC.replace("canary-literal", "{a: canary-literal}"),
    "twice": FLOW.replace("LITERAL: canary-literal", "LITERAL: canary-literal, LITERAL: canary-other"),
    "no YAML": FLOW.replace("LITERAL: canary-literal", 'LITERAL: "canary-literal'),
    "a list below": FLOW.replace("env: {LITERAL: canary-literal}", "env:\n    - canary-literal"),
    "over several lines": FLOW.replace("{LITERAL: canary-literal}", "{\n B: [canary-b]}"),
    "an odd key": FLOW.replace("env: {", '"e\\x6ev": {').replace("canary-literal", "[canary-literal]"),
    "an anchor": FLOW.replace("env: {LITERAL: canary-literal}", "&k env:\n      A: [canary-a]"),
    "a bad escape": FLOW.replace("{LITERAL: canary-literal}", '{LITERAL: "canary\n      words: canary \\q"}'),
    "a misspelled key": FLOW.replace("env: {", "Env: {"),
    "no YAML in a block": "version: 1\nname: s\napps:\n  app:\n    env:\n      A: b\n      B: 'canary\n      C: d: e\n",
    "a tab in a block": "version: 1\nname: s\napps:\n  app:\n    env:\n      A: canary-a\n\t  B: canary-b\n",
    "a variable where no text can be": SPEC.replace("count: COUNT", "count: ${SECRET}"),
    "a variable for a guest": SPEC.replace("count: COUNT", "guest: ${SECRET}"),
    "both contents": SPEC.replace(f"content: {FILE}", f"content: {FILE}, content_base64: Y2FuYXJ5"),
    "hostile keys": SPEC.replace("image: i:1", "image: i:1\n    '::error::key': x\n    \"a\\e[31m\": ##[group]x"),
    "hostile keys with colons": FLOW.replace("image: i", "image: i\n    '::error file=a:b::key': x"),
    "a hostile name": SPEC.replace("name: stack", 'name: "::error file=x::\\e]0;title\\a"'),
}


@pytest.mark.parametrize("name", BROKEN_SPECS)
def test_a_broken_spec(alone: Watched, name: str) -> None:
    alone.declare(text=BROKEN_SPECS[name])
    assert alone("validate") == 1
    assert alone("validate", "-o", "json") == 1
    assert alone("invoke", "work") == 125
    assert "error" in alone.said


def test_hostile_names_of_files_and_configs(watched: Watched) -> None:
    folder = watched.directory / "::error file=a:b::d" / "esc\x1b[31m"
    folder.mkdir(parents=True)
    text = FLOW.replace("count: COUNT", "config: {'::error file=a:b::pwned': 1, '::error x=y:z::': {a: 1}}")
    (folder / "m.yaml").write_text(text)
    (folder / "bad.yaml").write_text("version: 2\n")
    name = str(folder.relative_to(watched.directory))
    assert watched("validate", f"{name}/m.yaml") == 0
    assert watched("validate", f"{name}/bad.yaml") == 1
    for output in FORMATS:
        assert watched("plan", "-f", f"{name}/m.yaml", "-o", output) == 0


def test_a_bad_target(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    for target in (
        "ftp://user:canary-password@host",
        "http://user:canary-password@127.0.0.1:1",
        "http://127.0.0.1:1",
        "canary@host",
        "http://user:canary@host:port",
    ):
        assert watched("plan", "--target", target, "--trace-http") == 1
    for token in (f"{TOKEN}\n", f"a{TOKEN}\x1bb", f"{TOKEN}ü", f"FlyV1 fm2_{TOKEN},fo1_{TOKEN}"):
        monkeypatch.setenv("FLY_API_TOKEN", token)
        watched("plan", "--trace-http")
        watched("plan", "--target", "http://127.0.0.1:1", "--trace-http")
