"""A plan of a pull request, applied after the merge, where the image has another tag: a real registry, no builder."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import stop_engine
from reconciler.machines_api.client import MachinesClient
from reconciler.operations.images import ImagePolicy, look_up
from reconciler.operations.session import Session
from reconciler.slots.context import Context
from reconciler.spec import load_spec
from reconciler.testing.virtual_time import VirtualClock
from tests.support.environment import clear_environment
from tests.support.registry import PROGRAM, RealRegistry, real_registry
from tests.support.world import TARGET

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no docker-registry here")]

SPEC = """
version: 1
name: stack
apps:
  app:
    image: HOST/app:${IMAGE_TAG}
    tasks: {work: {command: ['true'], count: 2, env: {WORD: '${WORD:-canary-one}'}}}
"""


class Pipeline:
    def __init__(
        self, registry: RealRegistry, capsys: pytest.CaptureFixture[str], environment: pytest.MonkeyPatch
    ) -> None:
        self.registry = registry
        self._capsys = capsys
        self._environment = environment

    def __call__(self, tag: str, *arguments: str, code: int = 0, **environment: str) -> str:
        """What a job says whose commit has this tag."""
        with self._environment.context() as job:
            for name, value in {"IMAGE_TAG": tag, **environment}.items():
                job.setenv(name, value)
            ended = run([*arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Pipeline]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.setenv("RECONCILER_RESOLVE", "auto")
    monkeypatch.setenv("GITHUB_RUN_NUMBER", "7")
    monkeypatch.chdir(tmp_path)
    with real_registry(tmp_path) as registry:
        for tag, content in {"pr-7": "x", "main-1": "x", "main-2": "another"}.items():
            registry.push("app", tag, content)
        (tmp_path / "machines.yaml").write_text(SPEC.replace("HOST", registry.host))
        yield Pipeline(registry, capsys, monkeypatch)
    stop_engine(tmp_path / "home")


def hash_of(said: str) -> str:
    return re.findall(r"Plan hash: `?(sha256:[0-9a-f]{64})", said)[0]


def test_what_was_approved_is_applied_under_another_tag_of_the_same_image(job: Pipeline) -> None:
    approved = hash_of(job("pr-7", "plan", "--out", "plan.json"))
    assert hash_of(job("main-1", "plan")) == approved
    assert hash_of(job("main-2", "plan")) != approved
    assert "was approved" in job("main-2", "apply", "--expect-plan", approved, code=1)
    assert "is not the spec that the plan was made from" in job("main-2", "apply", "plan.json", code=1)
    assert "is not the spec that" in job("main-1", "apply", "plan.json", code=1, WORD="canary-two")
    assert "2 done" in job("main-1", "apply", "plan.json")
    for tag in ("pr-7", "main-1"):
        assert "No changes" in job(tag, "plan", "--detailed-exitcode")
        job(tag, "drift", "--detailed-exitcode")  # it asks no registry, and another tag is no drift
    job("main-1", "invoke", "work")
    said = job("main-2", "plan")
    assert re.search(r"image: \S+/app:main-1@sha256:\w+ -> \S+/app:main-2@sha256:", said), "tags are shown"


def test_a_comment_says_which_variable_must_name_the_same_image(job: Pipeline) -> None:
    comment = job("pr-7", "plan", "-o", "markdown", "--out", "plan.json")
    assert "matches after the merge only if IMAGE_TAG names the same digest" in comment
    assert "gitops.md#images-that-are-built-after-the-merge" in comment
    assert job("pr-7", "show", "plan.json", "-o", "markdown") == comment.partition("saved:")[0]
    assert "only if IMAGE_TAG names" in job("pr-7", "show", "plan.json", "-o", "html")
    document = json.loads(job("pr-7", "plan", "-o", "json"))
    assert (document["image_variables"], document["builds"]) == (["IMAGE_TAG"], [])
    assert "2 done" in job("pr-7", "apply", "--yes")
    assert "only if" not in job("pr-7", "plan", "-o", "markdown"), "nothing is to be matched"


def test_what_the_registry_has_told_of_is_waited_for_if_the_platform_does_not_know_it_yet(tmp_path: Path) -> None:
    clock = VirtualClock()
    client = MachinesClient(base_url="http://127.0.0.1", token=None, clock=clock)
    session = Session(context=Context(client=client, clock=clock, who="someone"), target=TARGET, environment={})
    with real_registry(tmp_path) as registry:
        digest = registry.push("app", "main", "x")
        text = SPEC.replace("HOST", registry.host)
        spec = load_spec(text, file="machines.yaml", environment={"IMAGE_TAG": "main"})
        found = asyncio.run(look_up(session, spec, ImagePolicy()))
        assert [pool.config.image for pool in found.spec.pools] == [f"{registry.host}/app:main@{digest}"]
        assert session.context.pushed.holds(found.spec.pools[0].config.image)
        assert not session.context.pushed.holds(f"{registry.host}/app:main")
