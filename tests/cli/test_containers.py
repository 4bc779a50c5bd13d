"""From a Dockerfile to runs of its image: Podman and a real registry, by the command line, on the local target.

docs/how-to/local-engine.md shows these commands.
"""

import base64
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import engine_status, read_token, stop_engine
from tests.support.environment import clear_environment
from tests.support.podman import NEEDS_A_REGISTRY_TOO, NEEDS_PODMAN, Podman, busybox_context, podman_service
from tests.support.python_image import python_context
from tests.support.registry import PASSWORD, USER, real_registry

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    build: image
    tasks:
      own: {count: 1}
      work: {command: [/bin/sh, -c, 'echo "$0"; exit 4'], args: [nothing], overrides: {args: true}, count: 2}
"""


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with podman_service(tmp_path_factory.mktemp("podman")) as service:
        yield service


class Project:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        busybox_context(folder / "image")
        (folder / "machines.yaml").write_text(SPEC)

    def write(self, script: str) -> None:
        (self.folder / "image" / "own.sh").write_text(script)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        ended = run([*arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err


@pytest.fixture
def project(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    clear_environment(monkeypatch)
    variables = podman.environment | {
        "HOME": str(tmp_path),
        "RECONCILER_HOME": str(tmp_path / "home"),
        "RECONCILER_TARGET": "local",
        "RECONCILER_RUNTIME": "container",
        "RECONCILER_RESOLVE": "auto",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield Project(tmp_path, capsys)
    stop_engine(tmp_path / "home")


@NEEDS_PODMAN
@NEEDS_A_REGISTRY_TOO
def test_build_push_plan_apply_invoke_and_again_with_other_code(
    project: Project, podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    with real_registry(project.folder) as registry:
        monkeypatch.setenv("RECONCILER_PUSH_TO", registry.host)
        assert "built and pushed" in project("build")
        podman("podman", "rmi", "--all", "--force")  # what runs is what the registry has
        assert f"image: {registry.host}/app:" in project("plan")
        assert "3 done" in project("apply", "--yes")
        assert "the image says hello" in project("invoke", "own", code=5)
        assert "something" in project("invoke", "work", "--", "something", code=4)
        assert "No changes" in project("plan", "--detailed-exitcode")

        project.write("echo the new code; exit 6")
        assert "built and pushed" in project("build")
        said = project("plan", "--detailed-exitcode", code=2)
        assert "the image moved" in said
        assert "3 to update" in said
        assert "the image says hello" in project("invoke", "own", code=5), "nothing moves before it is applied"
        project("apply", "--yes")
        assert "the new code" in project("invoke", "own", code=6)


@NEEDS_PODMAN
@NEEDS_A_REGISTRY_TOO
def test_the_walkthroughs_own_image_builds_pushes_and_runs(
    project: Project, podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, base = Path(__file__).parents[2], project.folder / "base"
    base.mkdir()
    podman.build(python_context(base), "docker.io/library/python:3.13-slim")
    shutil.copy(root / "machines.yaml", project.folder)
    shutil.copytree(root / "examples/get-release", project.folder / "examples/get-release")
    with real_registry(project.folder) as registry, releases({"/repos/o/r/releases/latest": "v7"}) as url:
        monkeypatch.setenv("RECONCILER_PUSH_TO", registry.host)
        monkeypatch.setenv("GITHUB_API_URL", url)
        said = project("--only", "get-release", "apply", "--yes", "--build", "--builder", "buildah")
        assert f"image: {registry.host}/on-demand:" in said
        assert "The latest tag is v7" in project("invoke", "get-release", "--", "o/r")
        assert "404" in project("invoke", "get-release", "--", "o/none", code=1)


@NEEDS_PODMAN
@NEEDS_A_REGISTRY_TOO
def test_a_registry_with_a_login_and_the_password_shows_nowhere(
    project: Project, podman: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("echo behind a login; exit 3")
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with real_registry(project.folder, has_login=True) as registry, command_lines() as seen:
        monkeypatch.setenv("RECONCILER_PUSH_TO", registry.host)
        assert "wants a user and a password" in project("plan", "--resolve", "always", code=1)
        (project.folder / ".docker").mkdir()
        config = project.folder / ".docker" / "config.json"
        config.write_text(json.dumps({"auths": {registry.host: {"auth": secret}}}))
        said = project("--debug", "--trace-http", "apply", "--yes", "--build", "--builder", "buildah")
        assert "3 done" in said
        podman("podman", "rmi", "--all", "--force")
        said += project("--debug", "--trace-http", "invoke", "own", code=3)
        assert "behind a login" in said
    said += (project.folder / "home" / "engine.log").read_text()
    assert any("buildah" in line and "push" in line for line in seen), "the push was seen while it ran"
    for canary in (PASSWORD, secret):
        assert canary not in said
        assert not [line for line in seen if canary in line]


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """All command lines of all processes during the block, as far as looking again and again sees them."""
    seen: set[str] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    seen.add((process / "cmdline").read_text(errors="replace").replace("\0", " "))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


@contextmanager
def releases(tags: dict[str, str]) -> Iterator[str]:
    """The URL of a GitHub that knows these releases."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tag = tags.get(self.path)
            self.send_response(200 if tag else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"tag_name": tag}).encode())

        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@NEEDS_PODMAN
@pytest.mark.parametrize("builder", ["podman", "buildah"])
def test_without_a_registry_the_built_image_is_used_as_it_is(project: Project, podman: Podman, builder: str) -> None:
    project.write(f"echo built by {builder}; exit 7")
    assert "is not built yet" in project("apply", "--yes", code=1)
    assert "3 done" in project("apply", "--yes", "--build", "--builder", builder)
    assert f"built by {builder}" in project("invoke", "own", code=7)
    assert "there already" in project("build")
    assert "No changes" in project("plan", "--detailed-exitcode")
    project.write(f"echo built again by {builder}; exit 8")
    assert "the image moved" in project("apply", "--yes", "--build", "--builder", builder)
    assert f"built again by {builder}" in project("invoke", "own", code=8)


@NEEDS_PODMAN
def test_what_another_builder_has_is_loaded(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    project("engine", "start")  # its containers are of the service, whose storage the builder does not share
    storage = other / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{other}/graph"\nrunroot = "{other}/run"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    project.write("echo loaded; exit 9")
    assert "3 done" in project("apply", "--yes", "--build", "--builder", "buildah")
    assert "loaded" in project("invoke", "own", code=9)


@NEEDS_PODMAN
def test_an_image_that_only_the_container_engine_has_is_used(project: Project, podman: Podman) -> None:
    podman.build(busybox_context(project.folder / "image", "echo by hand; exit 3"), "localhost/by-hand:dev")
    spec = SPEC.replace("build: image", "image: localhost/by-hand:dev")
    (project.folder / "machines.yaml").write_text(spec)
    project("apply", "--yes")
    assert "by hand" in project("invoke", "own", code=3)
    (project.folder / "machines.yaml").write_text(spec.replace("by-hand", "nobody-has-it"))
    said = project("plan", code=0)
    assert "localhost" in said


SERVICE = """
version: 1
name: stack
apps:
  app:
    build: image
    services:
      web:
        command: [/bin/sh, -c, 'cat /data/greeting > /index.html; exec /bin/httpd -f -p "127.0.0.1:$PORT" -h /']
        ports: [{internal_port: 8080, port: %s, autostop: stop}]
        checks: {alive: {path: /index.html, interval: 1s}}
        rollout: {min_healthy: 1s}
        config: {mounts: [{volume: %s, path: /data}]}
"""


@NEEDS_PODMAN
def test_a_service_of_containers_wakes_on_a_connection_and_keeps_its_volume(project: Project, tmp_path: Path) -> None:
    (tmp_path / "adversity.yaml").write_text("latency: {like: small, idle_s: 1}\n")
    project("engine", "start", "--adversity", str(tmp_path / "adversity.yaml"))
    home = tmp_path / "home"
    status = engine_status(home)
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    with httpx.Client(base_url=f"{status.url}/v1", headers=headers, timeout=60, trust_env=False) as api:
        api.post("/apps", json={"app_name": "app", "org_slug": "personal"})
        volume = api.post("/apps/app/volumes", json={"name": "data"}).json()["id"]
        (home / "volumes" / volume / "greeting").write_text("from the volume")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (project.folder / "machines.yaml").write_text(SERVICE % (port, volume))
        project("apply", "--yes", "--build", "--builder", "buildah")
        [web] = api.get("/apps/app/machines").json()
        for _ in range(2):
            assert api.get(f"/apps/app/machines/{web['id']}/wait?state=stopped").status_code == 200
            page = httpx.get(f"http://127.0.0.1:{port}/index.html", timeout=60, trust_env=False)
            assert page.text == "from the volume"
        assert api.get(f"/apps/app/machines/{web['id']}").json()["state"] == "started"


@NEEDS_PODMAN
def test_another_runtime_than_the_running_engines_is_an_error_and_no_surprise(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "runtime  container" in project("engine", "start") + project("engine", "status")
    monkeypatch.setenv("RECONCILER_RUNTIME", "process")
    assert "with the container runtime and not process" in project("plan", code=1)
    assert "with the container runtime and not process" in project("engine", "start", code=1)
    monkeypatch.setenv("RECONCILER_RUNTIME", "")
    project("engine", "stop")
    monkeypatch.setenv("RECONCILER_RUNTIME", "container")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project.folder}/none.sock")
    said = project("plan", code=1)
    assert "no container engine answers" in said
    assert "podman system service" in said
    assert "Traceback" not in said
    assert os.environ["DOCKER_HOST"] in said
