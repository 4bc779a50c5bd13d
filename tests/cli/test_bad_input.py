"""Whatever is wrong, the user gets one message, what to do, the right exit code and no traceback."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.cli.main import run
from tests.support.environment import clear_environment
from tests.support.hasty import hasten

pytestmark = pytest.mark.slow

SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {work: {command: [run]}}}}\n"
ONLY_READS = {"GET"}
ROOM = "/v1/platform/placements"  # a question that is sent by POST


class Server(ThreadingHTTPServer):
    """Answers everything with one status and body, and remembers the methods that it saw."""

    daemon_threads = True

    def __init__(self, status: int, body: str, content_type: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = (status, body.encode(), content_type)
        self.methods: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        if self.path != ROOM:
            self.server.methods.append(self.command)
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body, content_type = self.server.reply
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("fly-request-id", "01REQUEST")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a spec and an environment with nothing else."""
    (tmp_path / "machines.yaml").write_text(SPEC)
    clear_environment(monkeypatch)
    hasten(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "engine"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Serve(Protocol):
    def __call__(self, status: int, body: str, content_type: str = ...) -> Server: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(status: int, body: str, content_type: str = "application/json") -> Server:
        server = Server(status, body, content_type)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["validate", "-f", "none.yaml"], 1, "none.yaml"),
        (["plan", "-f", "."], 1, "is a directory"),
        (["validate", "-C", "none"], 1, "not a directory"),
        (["plan"], 1, "--target local"),
        (["apply", "--yes"], 1, "FLY_API_TOKEN"),
        (["invoke", "work"], 125, "FLY_API_TOKEN"),
        (["invoke", "wrok", "--target", "http://127.0.0.1:1"], 125, "did you mean 'work'?"),
        (["plan", "--only", "none", "--target", "http://127.0.0.1:1"], 1, "no pool 'none'"),
        (["plan", "-a", "none", "--target", "http://127.0.0.1:1"], 1, "no app 'none'"),
        (["plan", "--target", "mars"], 1, "unknown target"),
        (["plan", "--target", "http://127.0.0.1:1"], 1, "cannot reach http://127.0.0.1:1"),
        (["invoke", "work", "--target", "http://127.0.0.1:1"], 125, "cannot reach"),
        (["paln"], 64, "Did you mean 'plan'?"),
        (["plan", "--no-such"], 64, "no-such"),
        (["invoke"], 64, "TASK"),
        (["invoke", "work", "--timeout", "soon"], 64, "30s, 10m"),
        (["apply", "--parallelism", "0"], 64, "parallelism"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_message_what_to_do_and_the_right_code(
    spec: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert run(arguments) == code
    shown = capfd.readouterr()
    assert words in re.sub(r"\s+", " ", shown.err)
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (200, "<html>Please log in</html>", "text/html", "is this the URL of a Machines API?"),
        (200, '[{"id": "1"', "application/json", "not JSON"),
        (200, '{"fine": true}', "application/json", "list of machines"),
        (401, '{"error": "unauthenticated"}', "application/json", "fly auth login"),
        (403, '{"error": "unauthorized"}', "application/json", "organisation"),
        (422, '{"error": "no way"}', "application/json", "422 no way"),
        (302, "", "text/html", "is this the URL of a Machines API?"),
        (404, "404 page not found", "text/plain", "is this the URL of a Machines API?"),
        (404, "<html>Not Found</html>", "text/html", "is this the URL of a Machines API?"),
    ],
)
@pytest.mark.parametrize(("verb", "code"), [("plan", 1), ("apply", 1), ("destroy", 1), ("invoke", 125), ("status", 1)])
def test_a_server_that_answers_otherwise_is_one_message_and_no_write(
    spec: Path,
    capfd: pytest.CaptureFixture[str],
    serve: Serve,
    verb: str,
    code: int,
    status: int,
    body: str,
    kind: str,
    words: str,
) -> None:
    server = serve(status, body, kind)
    arguments = {"apply": ["--yes"], "destroy": ["--yes"], "invoke": ["work"]}.get(verb, [])
    assert run([verb, *arguments, "--target", server.url]) == code
    shown = capfd.readouterr().err
    assert words in re.sub(r"\s+", " ", shown)
    assert "01REQUEST" in shown
    assert "Traceback" not in shown
    assert set(server.methods) <= ONLY_READS


def test_a_missing_app_is_to_be_created_and_for_invoke_an_apply_away(
    spec: Path, capfd: pytest.CaptureFixture[str], serve: Serve
) -> None:
    server = serve(404, '{"error": "app not found"}')
    assert run(["plan", "--detailed-exitcode", "--target", server.url]) == 2
    assert "+ create app app" in capfd.readouterr().out
    assert run(["invoke", "work", "--target", server.url]) == 125
    assert "reconciler apply" in capfd.readouterr().err


JUNK = [None, 3, True, "x", [], {}, [1], [None], {"a": None}, "\ud800"]
SECTIONS = ["restart", "env", "services", "checks", "guest", "init", "files", "mounts", "stop_config", "image"]
VERBS = (
    ["plan"],
    ["plan", "--adopt"],
    ["status"],
    ["runs"],
    ["drift"],
    ["logs", "work"],
    ["wait", "work-iad-0/x"],
    ["import", "app"],
)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("name", ["work-iad-0", "foreign"])
def test_no_machines_config_breaks_a_verb(
    spec: Path, serve: Serve, name: str, is_ours: bool, section: str, capfd: pytest.CaptureFixture[str]
) -> None:
    owned = {"reconciler_stack": "s", "reconciler_pool": "work", "reconciler_slot": name}
    marks = {"metadata": owned} if is_ours else {}
    machines = [
        {"id": f"m{number}", "name": name, "state": "stopped", "config": {"image": "i", **marks, section: junk}}
        for number, junk in enumerate(JUNK)
    ]
    server = serve(200, json.dumps(machines))
    for verb in VERBS:
        code = run([*verb, "--target", server.url])
        error = capfd.readouterr().err
        assert "unexpected" not in error
        assert code in ({125} if verb[0] == "wait" else {0, 1})
    assert set(server.methods) == ONLY_READS


def test_debug_shows_the_traceback(spec: Path) -> None:
    command = [sys.executable, "-m", "reconciler.cli", "plan", "--debug", "--target", "http://127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-f", "plan", "invoke", "nosuch"], 125),
        (["-a", "apply", "wait", "work-iad-0/nosuch"], 125),
        (["-f", "invoke", "plan"], 1),
        (["--target", "wait", "runs"], 1),
        (["-f", "plan", "invoke", "--nosuch"], 64),
        (["invoke"], 64),
        (["--file", "invoke"], 64),
    ],
)
def test_the_verb_is_the_one_that_was_parsed(spec: Path, words: list[str], code: int) -> None:
    assert run(words) == code


@pytest.mark.parametrize(
    ("words", "is_shown"),
    [
        (["invoke", "work", "--target", "http://127.0.0.1:1", "--", "--debug"], False),
        (["invoke", "work", "--target", "http://127.0.0.1:1", "-e", "A=--debug"], False),
        (["--debug", "invoke", "work", "--target", "http://127.0.0.1:1"], True),
        (["invoke", "work", "--debug", "--target", "http://127.0.0.1:1"], True),
    ],
)
def test_only_the_flag_debug_shows_a_traceback(
    spec: Path, words: list[str], is_shown: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 125
    assert ("Traceback" in capfd.readouterr().err) == is_shown


def test_without_a_terminal_and_without_consent_nothing_is_even_asked_for(spec: Path, serve: Serve) -> None:
    server = serve(200, "[]")
    for verb in ("apply", "destroy"):
        command = [sys.executable, "-m", "reconciler.cli", verb, "--target", server.url]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert "--yes" in ended.stderr
    assert server.methods == []


def test_a_secret_in_the_environment_is_in_no_output_even_of_an_echo(
    spec: Path, capfd: pytest.CaptureFixture[str], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_canarytoken")
    server = serve(200, "[]")
    assert run(["plan", "-v", "--trace-http", "--target", server.url]) == 1
    shown = capfd.readouterr()
    assert "GET /v1/apps/app/machines -> 200" in shown.err
    assert "canarytoken" not in shown.out + shown.err


def test_ctrl_c_while_a_server_is_silent_ends_at_once_with_130(spec: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "reconciler.cli", "plan", "--target", url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        connection, _ = listener.accept()  # it asks, and we are silent
        process.send_signal(2)
        _, shown = process.communicate(timeout=30)
        connection.close()
    assert process.returncode == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown


def test_output_into_a_closed_pipe_is_no_traceback(spec: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler.cli", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    shown = process.stderr.read().decode()
    process.wait(timeout=30)
    process.stderr.close()
    assert "Traceback" not in shown
    assert "Exception ignored" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--idempotency-key", ""], "it is empty: is a variable not set?"),
        (["--timeout", "0s"], "'0s' is no time at all"),
        (["--timeout", "99999999999999h"], "'99999999999999h' is longer than 876000h"),
        (["--queue-timeout", "99999999999999h"], "'99999999999999h' is longer than 876000h"),
    ],
)
def test_an_option_that_would_not_mean_what_it_says_is_refused(
    spec: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(["invoke", "work", *arguments, "--target", "http://127.0.0.1:1"]) == 64
    assert words in capsys.readouterr().err


def test_a_timeout_of_more_than_a_hundred_years_is_refused(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec / "machines.yaml").write_text(SPEC.replace("{command:", "{timeout: 99999999999999h, command:"))
    assert run(["validate"]) == 1
    assert "can be at most 876000h" in capsys.readouterr().err
