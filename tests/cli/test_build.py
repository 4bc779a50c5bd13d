"""From a Dockerfile to machines: buildah and a real registry, by the command line, on the local target.

docs/how-to/images.md shows these commands.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.main import run
from reconciler.engine.server.daemon import stop_engine
from tests.support.environment import clear_environment
from tests.support.registry import PROGRAM, RealRegistry, real_registry

pytestmark = pytest.mark.slow

BUSYBOX = shutil.which("busybox")
NEEDS_A_BUILDER = pytest.mark.skipif(
    PROGRAM is None or BUSYBOX is None or shutil.which("buildah") is None or os.geteuid() != 0,
    reason="no docker-registry, buildah and busybox here",
)
SPEC = """
version: 1
name: stack
apps:
  app:
    build: {context: image, args: {VERSION: '${VERSION:-one}'}}
    tasks:
      work: {command: ['true'], count: 2}
      other: {command: ['true'], image: 'HOST/app:fixed'}
"""
DOCKERFILE = "FROM scratch\nARG VERSION\nENV VERSION=$VERSION\nCOPY busybox hello.sh /bin/\n"


class Project:
    def __init__(self, folder: Path, registry: RealRegistry, capsys: pytest.CaptureFixture[str]) -> None:
        self.context = folder / "image"
        self.registry = registry
        self._capsys = capsys
        self.context.mkdir()
        shutil.copy(str(BUSYBOX), self.context / "busybox")
        (self.context / "Dockerfile").write_text(DOCKERFILE)
        self.write("echo hello")
        registry.push("app", "fixed", "x")
        (folder / "machines.yaml").write_text(SPEC.replace("HOST", registry.host))

    def write(self, script: str) -> None:
        (self.context / "hello.sh").write_text(script)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        ended = run([*arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err

    def json(self, *arguments: str) -> dict[str, list[dict[str, object]]]:
        ended = run(["-o", "json", *arguments])
        captured = self._capsys.readouterr()
        assert ended == 0, captured
        document: dict[str, list[dict[str, object]]] = json.loads(captured.out)
        return document


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    clear_environment(monkeypatch)
    storage = tmp_path / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n')
    for name, value in {
        "HOME": str(tmp_path),
        "RECONCILER_HOME": str(tmp_path / "home"),
        "RECONCILER_TARGET": "local",
        "RECONCILER_RESOLVE": "auto",
        "GITHUB_RUN_NUMBER": "7",
        "CONTAINERS_STORAGE_CONF": str(storage),
        "BUILDAH_ISOLATION": "chroot",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with real_registry(tmp_path) as registry:
        monkeypatch.setenv("RECONCILER_PUSH_TO", registry.host)
        yield Project(tmp_path, registry, capsys)
    stop_engine(tmp_path / "home")


def hash_of(said: str) -> str:
    return re.findall(r"sha256:[0-9a-f]{64}", said.partition("Plan hash:")[2])[0]


@NEEDS_A_BUILDER
def test_build_push_plan_apply_and_again_with_other_content(project: Project) -> None:
    before = project("plan")
    [content] = re.findall(r"build (\S+/app:ctx-[0-9a-f]{32})  \(of image: ", before)
    assert f"image: {content}\n" in before
    assert "run `reconciler build`" in project("apply", "--yes", "--trace-http", code=1)
    assert "POST" not in project("apply", "--yes", "--trace-http", code=1)
    document = project.json("build", "--builder", "buildah")
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "build.schema.json").read_text())
    Draft202012Validator(schema).validate(document)
    [first] = document["images"]
    assert (first["built"], first["content"]) == (True, content)
    assert "there already" in project("build")
    after = project("plan")
    assert f"image: {content}@{str(first['digest'])[:40]}" in after
    assert "build 127" not in after
    assert hash_of(after) == hash_of(before), "a plan is the same before the build and after it"
    assert "3 done" in project("apply", "--yes", "--expect-plan", hash_of(before))
    assert "No changes" in project("plan", "--detailed-exitcode")

    project.write("echo changed")
    before = project("plan", "--out", "plan.json")
    assert "the content of the image changed" in before
    assert "run `reconciler build`" in project("apply", "--yes", code=1)
    project("apply", "--dry-run", "--build")
    assert "run `reconciler build`" in project("apply", "--yes", code=1), "a dry run builds nothing"
    assert "image is not built yet" in project("apply", "plan.json", code=1)
    said = project("apply", "plan.json", "--build")
    assert f"{project.registry.host}/app:ctx-" in said
    assert "2 done" in said
    assert "No changes" in project("plan", "--detailed-exitcode")
    assert hash_of(project("show", "plan.json")) == hash_of(before)
    project.write("echo hello")
    assert "there already" in project("build"), "what was built once is not built again"
    assert "2 to update" in project("plan")


@NEEDS_A_BUILDER
def test_another_argument_is_another_image(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = project.json("build")["images"][0]
    monkeypatch.setenv("VERSION", "canary-two")
    second = project.json("build")["images"][0]
    assert first["content"] != second["content"]
    assert first["digest"] != second["digest"]
    assert "canary" not in project("build")


@NEEDS_A_BUILDER
def test_a_build_that_fails_shows_its_last_lines_and_changes_nothing(project: Project) -> None:
    (project.context / "Dockerfile").write_text(DOCKERFILE + "COPY missing /\n")
    said = project("apply", "--yes", "--build", "--trace-http", code=1)
    assert re.search(r"the build by (podman|buildah) ended with", said)
    assert "missing" in said
    assert said.index("app: app created") < said.index("FROM scratch"), "an app comes before its images"
    assert "app app created, 3 skipped" in said, "what was done is told"
    assert "/machines ->" not in "".join(line for line in said.splitlines() if "POST" in line)
    (project.context / "Dockerfile").write_text(DOCKERFILE)
    said = project("apply", "--yes", "--build")
    assert "create app app (org" not in said
    assert "3 done" in said
    (project.context / "Dockerfile").unlink()
    assert "there is no Dockerfile in image" in project("plan", code=1)


@pytest.mark.skipif(PROGRAM is None, reason="no docker-registry here")
def test_a_registry_that_shows_nothing_of_an_app_that_is_not_there_is_no_obstacle_to_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    for name, value in {"HOME": ".", "RECONCILER_HOME": "home"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.setenv("RECONCILER_RESOLVE", "auto")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "machines.yaml").write_text(
        "version: 1\nname: s\napps: {app: {build: ., tasks: {t: {command: ['true']}}}}\n"
    )

    def said(*arguments: str, code: int = 0) -> str:
        ended = run([*arguments])
        captured = capsys.readouterr()
        assert ended == code, captured
        return captured.out + captured.err

    try:
        with real_registry(tmp_path, has_login=True) as registry:
            monkeypatch.setenv("RECONCILER_PUSH_TO", registry.host)
            plan = said("plan")
            assert f"+ build {registry.host}/app:ctx-" in plan
            assert "does not let us read" not in plan
            refused = said("apply", "--yes", code=1)
            assert "wants a user and a password; whether . is built as it is now is not known" in refused
    finally:
        stop_engine(tmp_path / "home")


@NEEDS_A_BUILDER
def test_no_builder_is_needed_for_what_is_there_and_one_is_named_where_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project("build")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there already" in project("build")
    project.write("echo another")
    assert "there is no builder here" in project("build", code=1)
    assert "there is no docker here" in project("build", "--builder", "docker", code=1)
    assert "the local target runs commands on the host" in project(
        "apply", "--yes", "--build", "--resolve", "never", "--push-to", "", code=0
    )


def test_on_the_local_target_the_context_is_what_a_run_starts_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    context = tmp_path / "project" / "image"
    (context / "lib").mkdir(parents=True)
    (context / "hello.sh").write_text("cat lib/words; ls -a\n")
    (context / "lib" / "words").write_text("first\n")
    (context / "link").symlink_to("hello.sh")
    (context / ".dockerignore").write_text("*.log\n")
    (context / "noise.log").write_text("noise")
    (tmp_path / "project" / "machines.yaml").write_text(
        "version: 1\nname: s\napps: {app: {build: image, tasks: {t: {command: [sh, hello.sh]}}}}\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def said(*arguments: str, code: int = 0) -> str:
        ended = run(["-f", str(tmp_path / "project" / "machines.yaml"), *arguments])
        captured = capsys.readouterr()
        assert ended == code, captured
        return captured.out + captured.err

    try:
        said("apply", "--yes")
        assert "No changes" in said("plan")
        first = said("invoke", "t").split()
        assert first[0] == "first"
        assert {"hello.sh", "lib", "link", "tmp"} <= set(first)
        assert "noise.log" not in first
        (context / "lib" / "words").write_text("second\n")
        assert said("invoke", "t").split()[0] == "second"
        assert "No changes" in said("plan")
        shutil.rmtree(context)
        assert "no such directory" in said("invoke", "t", code=126)
    finally:
        stop_engine(tmp_path / "home")
