"""A reviewed plan whose commit is not the newest that was applied; and which revision is applied whole."""

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended
from tests.support.schemas import SCHEMAS, strict

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    tasks:
      work: {command: [run, '600'], env: {A: '%s'}, count: %s}
"""


class Overtaken(httpx.AsyncBaseTransport):
    """A newer apply has changed each machine right before it is leased."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, after the newer revision was written on the machine that is leased."""
        if request.method == "POST" and request.url.path.endswith("/lease"):
            path = request.url.path.removesuffix("/lease") + "/metadata/reconciler_rev"
            url = request.url.copy_with(path=path, query=None)
            headers = {"Authorization": request.headers["Authorization"]}
            stamped = await self._inner.handle_async_request(
                httpx.Request("POST", url, headers=headers, json={"value": "n3"})
            )
            assert stamped.is_success
        return await self._inner.handle_async_request(request)


class Stack:
    def __init__(self, engine: VirtualEngine, directory: Path) -> None:
        self._directory = directory
        self.engine = engine
        self.run = CommandLine(engine, engine.transport, directory).run

    def declare(self, value: str, count: int = 1) -> None:
        (self._directory / "machines.yaml").write_text(SPEC % (value, count))

    def apply(self, revision: int, *words: str) -> Ended:
        return self.run("apply", "--revision", str(revision), *(words or ["--yes"]))

    def save(self, revision: int) -> None:
        assert self.run("plan", "--revision", str(revision), "--out", "plan.json").code == 0

    def document(self, *words: str, code: int = 0) -> dict[str, Any]:
        ended = self.run(*words, "-o", "json")
        assert ended.code == code, ended
        document: dict[str, Any] = json.loads(ended.out)
        name = "status" if words[0] == "status" else "report"
        jsonschema.validate(document, strict(json.loads((SCHEMAS / f"{name}.schema.json").read_text())))
        return document

    @property
    def applied(self) -> object:
        revision = self.document("status")["applied_revision"]
        return revision["number"] if isinstance(revision, dict) else revision


@pytest.fixture
def stack(virtual_engine: VirtualEngine, tmp_path: Path) -> Stack:
    return Stack(virtual_engine, tmp_path)


@pytest.fixture
def superseded(stack: Stack) -> Stack:
    """A plan was reviewed at revision 1; then revision 2 was applied, and came to the same spec."""
    stack.declare("1")
    assert stack.apply(0).code == 0
    stack.declare("2")
    stack.save(1)
    assert stack.apply(2).code == 0
    return stack


def test_a_reviewed_plan_of_an_older_revision_ends_well_and_writes_nothing(superseded: Stack) -> None:
    before = len(superseded.engine.requests)
    ended = superseded.apply(1, "plan.json")
    assert ended == (0, "Superseded by revision 2, which was applied already: nothing was changed.\n", ended.err)
    found = superseded.document("apply", "--revision", "1", "plan.json")
    assert (found["success"], found["superseded_by"]) == (True, {"number": 2, "commit": None, "time": None})
    written = [one for one in superseded.engine.requests[before:] if not one.startswith("GET")]
    assert written == []


def test_it_fails_where_the_user_says_so(superseded: Stack) -> None:
    ended = superseded.apply(1, "plan.json", "--superseded", "fail")
    assert ended.code == 1
    assert "Superseded by revision 2" in ended.out
    found = superseded.document("apply", "--revision", "1", "plan.json", "--superseded", "fail", code=1)
    assert found["success"] is False
    assert found["superseded_by"]
    assert superseded.apply(1, "plan.json", "--superseded", "ok").code == 0


def test_without_a_review_an_older_revision_is_refused_and_with_allow_rollback_it_is_applied(superseded: Stack) -> None:
    refused = superseded.apply(1)
    assert refused.code == 1
    assert "revision 2 was applied already" in refused.out + refused.err
    superseded.declare("3")
    superseded.save(2)
    assert superseded.apply(1, "plan.json", "--allow-rollback").code == 0
    assert superseded.document("status")["applied_revision"] == {"number": 1, "commit": None, "time": None}


def test_the_applied_revision_is_the_newest_after_which_nothing_was_left(stack: Stack) -> None:
    stack.declare("1", count=2)
    assert stack.document("status")["applied_revision"] is None
    stack.engine.fault("trial", call="create", after=1)
    assert stack.apply(1).code == 1
    assert stack.applied is None, "the first one was cut off"
    stack.engine.clear_faults()
    assert stack.apply(2).code == 0
    assert stack.applied == 2

    assert stack.run("invoke", "work", "--no-wait").code == 0
    stack.declare("2", count=2)
    assert "1 deferred" in stack.apply(3).out
    assert stack.applied == 2, "a slot is left"
    stack.declare("2", count=2)
    assert stack.apply(4, "--yes", "--only", "work").code == 0
    assert stack.applied == 2
    assert "revision 4 was applied already" in stack.apply(3).out, "the newest one fences all the same"
    assert stack.apply(4, "--yes", "--wait-busy", "20m").code == 0
    assert stack.applied == 4
    assert "Applied: revision 4" in stack.run("status").out
    assert stack.apply(5).code == 0
    assert stack.applied == 5, "also where it changes nothing"


def test_one_that_is_superseded_while_it_is_applied_ends_well_unless_the_user_says_otherwise(
    virtual_engine: VirtualEngine, tmp_path: Path
) -> None:
    stack = Stack(virtual_engine, tmp_path)
    stack.declare("1", count=2)
    assert stack.apply(0).code == 0
    stack.declare("2", count=2)
    stack.save(1)
    stack.run = CommandLine(virtual_engine, Overtaken(virtual_engine.transport), tmp_path).run
    ended = stack.apply(1, "plan.json")
    assert ended.code == 0, ended
    assert "Superseded by revision 3, which was applied meanwhile: 2 skipped" in ended.out
    assert "failed" not in ended.out + ended.err


def test_its_report_says_so_too(virtual_engine: VirtualEngine, tmp_path: Path) -> None:
    stack = Stack(virtual_engine, tmp_path)
    stack.declare("1")
    assert stack.apply(0).code == 0
    stack.declare("2")
    stack.save(1)
    stack.run = CommandLine(virtual_engine, Overtaken(virtual_engine.transport), tmp_path).run
    found = stack.document("apply", "--revision", "1", "plan.json", "--superseded", "fail", code=1)
    assert found["superseded_by"] == {"number": 3, "commit": None, "time": None}
    assert [one["reason"] for one in found["entries"]] == ["superseded"]
    assert found["failures"] == ["Superseded by revision 3, which was applied meanwhile"]
