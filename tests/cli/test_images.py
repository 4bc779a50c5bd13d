"""Tags and what they name: a real registry beside the local engine, by the command line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import stop_engine
from tests.support.environment import clear_environment
from tests.support.registry import PROGRAM, RealRegistry, real_registry

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no docker-registry here")]
SPEC = """
version: 1
name: stack
apps:
  app:
    image: {image}
    tasks:
      work: {{command: [sh, -c, 'sleep $0'], args: ['0'], overrides: {{args: true}}, count: {count}}}
"""


class Stack:
    def __init__(self, folder: Path, registry: RealRegistry, capsys: pytest.CaptureFixture[str]) -> None:
        self.registry = registry
        self.image = f"{registry.host}/team/app:v1"
        self._file = folder / "machines.yaml"
        self._capsys = capsys
        self.declare()

    def declare(self, *, image: str = "", count: int = 2) -> None:
        self._file.write_text(SPEC.format(image=image or self.image, count=count))

    def push(self, content: str, tag: str = "v1", **options: str) -> str:
        return self.registry.push("team/app", tag, content, **options)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        ended = run([*arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err

    def images(self) -> set[str]:
        """The images of the changes' configs, as the plan would send them."""
        plan = json.loads(self("plan", "-o", "json"))
        return {one["change"]["after"]["config"]["image"] for one in plan["resource_changes"] if one["change"]["after"]}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stack]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.setenv("RECONCILER_RESOLVE", "auto")
    monkeypatch.chdir(tmp_path)
    with real_registry(tmp_path) as registry:
        yield Stack(tmp_path, registry, capsys)
    stop_engine(tmp_path / "home")


def test_a_tag_that_was_pushed_again_is_a_change_of_its_own_cause(stack: Stack) -> None:
    first = stack.push("one")
    assert f"image: {stack.image}@{first}" in stack("plan")
    assert "2 done" in stack("apply", "--yes")
    assert "No changes" in stack("plan", "--detailed-exitcode")
    second = stack.push("two")
    said = stack("plan", "--detailed-exitcode", code=2)
    assert f"the image moved: {stack.image} is {second[:19]} now, and was {first[:19]}" in said
    assert "# the image moved" in said
    assert "the spec changed" not in said
    assert "No changes" in stack("drift", "--detailed-exitcode")
    assert "2 done" in stack("apply", "--yes")
    assert "No changes" in stack("plan", "--detailed-exitcode")
    assert "No changes" in stack("plan", "--resolve", "never", "--detailed-exitcode")


def test_a_registry_that_is_down_is_a_warning_and_no_difference(stack: Stack) -> None:
    first = stack.push("one")
    stack("apply", "--yes")
    stack.registry.host, up = "127.0.0.1:1", stack.registry.host
    stack.declare(image=stack.image.replace(up, "127.0.0.1:1"))
    assert "no connection" in stack("plan")
    assert "no connection" in stack("plan", "--resolve", "always", code=1)
    stack.declare(count=3)
    said = stack("plan", "--resolve", "never")
    assert "1 to create, 0 to update" in said
    assert f"image: {stack.image}@{first}" in said, "the new one as its siblings are"
    assert "1 done" in stack("apply", "--yes", "--resolve", "never")
    assert "No changes" in stack("plan", "--detailed-exitcode")


def test_an_image_that_is_missing_or_for_another_platform_is_refused_before_any_write(stack: Stack) -> None:
    for verb in (["plan"], ["apply", "--yes"]):
        assert "there is no such image" in stack(*verb, "--trace-http", code=1)
    stack.push("one", architecture="arm64")
    said = stack("apply", "--yes", "--trace-http", code=1)
    assert "it is for linux/arm64" in said
    assert "POST" not in said


def test_a_saved_plan_keeps_the_digests_that_were_reviewed(stack: Stack) -> None:
    first = stack.push("one")
    stack("plan", "--out", "plan.json")
    approved = json.loads(stack("plan", "-o", "json"))["plan_sha256"]
    second = stack.push("two")
    assert "was approved" in stack("apply", "--expect-plan", approved, "--no-revision", code=1)
    assert "2 done" in stack("apply", "plan.json")
    assert stack.images() == {f"{stack.image}@{second}"}
    stack.push("one")
    assert "No changes" in stack("plan", "--detailed-exitcode")
    assert json.loads(Path("plan.json").read_text())["saved"]["images"] == {stack.image: first}


def test_a_machine_that_was_busy_gets_the_applied_digest_by_the_next_invoke(stack: Stack) -> None:
    stack.declare(count=1)
    first = stack.push("one")
    stack("apply", "--yes")
    begun = stack("invoke", "work", "--no-wait", "-v", "--", "1000")
    assert "work-iad-0" in begun
    second = stack.push("two")
    assert "1 deferred" in stack("apply", "--yes")
    running = next(one for one in json.loads(stack("runs", "-o", "json"))["runs"] if one["state"] == "running")
    stack("cancel", running["run"])
    stack.push("three")
    stack("invoke", "work")
    [change] = json.loads(stack("plan", "-o", "json"))["resource_changes"]
    before = change["change"]["before"]["config"]["image"]
    assert before == f"{stack.image}@{second}", "what was applied, neither what was there nor what is newest"
    assert first not in before


def test_what_someone_else_put_there_is_drift_and_put_back(stack: Stack) -> None:
    import httpx

    from reconciler.engine.server.daemon import engine_status, read_token

    first = stack.push("one")
    stack.declare(count=1)
    stack("apply", "--yes")
    home = Path(os.environ["RECONCILER_HOME"])
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    with httpx.Client(base_url=f"{engine_status(home).url}/v1/apps/app", headers=headers, trust_env=False) as http:
        [machine] = http.get("/machines").json()
        config = machine["config"] | {"image": f"{stack.image}@sha256:{'9' * 64}"}
        http.post(f"/machines/{machine['id']}", json={"config": config, "skip_launch": True})
    stack.push("two")
    said = stack("drift", "--detailed-exitcode", code=2)
    assert "changed by someone else: image" in said
    assert "1 done" in stack("apply", "--only-drift", "--yes")
    assert "No changes" in stack("plan", "--resolve", "never", "--detailed-exitcode")
    [change] = json.loads(stack("plan", "-o", "json"))["resource_changes"]
    assert change["change"]["before"]["config"]["image"] == f"{stack.image}@{first}"
