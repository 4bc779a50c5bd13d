"""What a user reads when something is wrong: a folder of tests/cases/errors for each mistake.

Its case.yaml has the command, and what is wrong beside the files of the folder; expected.txt has all of stderr, and of
an apply the report. Where expected-50.txt is there, the same is shown on a terminal of fifty columns.
RECONCILER_REWRITE=1 writes the expectations anew. Read each as a new user would before it is committed.
"""

import ast
import io
import json
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import reconciler
from reconciler.engine.server.daemon import lock_home, prepare_home
from reconciler.images.wire import Connection
from reconciler.render.style import columns
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine, Ended

CASES = sorted((Path(__file__).parent.parent / "cases" / "errors").iterdir())
PACKAGE = Path(reconciler.__file__).parent
NARROW = [case for case in CASES if (case / "expected-50.txt").exists()]
OURS = {"case.yaml", "expected.txt", "expected-50.txt"}
KNOWN = {"command", "before", "environment", "stdin", "answers", "registry", "port", "home"}


class Wrong(httpx.AsyncBaseTransport):
    """The engine, but for the calls that the case answers otherwise, or not at all."""

    def __init__(self, engine: httpx.AsyncBaseTransport, answers: list[dict[str, Any]]) -> None:
        self._engine = engine
        self._answers = answers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path}"
        for answer in self._answers:
            if call == answer["call"] or answer["call"] == "all":
                if fails := answer.get("fails"):
                    raise getattr(httpx, fails["with"])(fails["text"])
                body = answer.get("body", "")
                content: dict[str, Any] = {"text": body} if isinstance(body, str) else {"json": body}
                return httpx.Response(answer["status"], headers=answer.get("headers"), **content)
        return await self._engine.handle_async_request(request)


@contextmanager
def something_wrong(case: dict[str, Any], directory: Path, patch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What is wrong beside the files; yields what stands for what differs from run to run."""
    with ExitStack() as held:
        if registry := case.get("registry"):
            transport = httpx.MockTransport(
                lambda request: httpx.Response(registry["status"], json=registry.get("body", {}))
            )
            patch.setattr("reconciler.images.wire.Connection", lambda: Connection(transport=transport))
        if "stdin" in case:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case["stdin"].encode())))
        if case.get("home"):
            prepare_home(directory / "home")
            held.enter_context(lock_home(directory / "home"))
        names = {str(directory): "/here"}
        if case.get("port"):
            taken = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            names[str(taken.getsockname()[1])] = "7070"
        yield names


def run_case(folder: Path, directory: Path, *more: str, **environment: str) -> Ended:
    """How the case's command ended, with the names of a user's machine."""
    case = yaml.safe_load((folder / "case.yaml").read_text())
    assert set(case) <= KNOWN
    for file in folder.iterdir():
        if file.name not in OURS:
            shutil.copy(file, directory)
    variables = {"HOME": str(directory), "RECONCILER_HOME": str(directory / "home"), **case.get("environment", {})}
    with VirtualEngine() as engine, pytest.MonkeyPatch.context() as patch:
        line = CommandLine(engine, Wrong(engine.transport, case.get("answers", [])), directory)
        for command in case.get("before", ()):
            assert line.run(*shlex.split(command), environment=variables).code == 0
        with something_wrong(case, directory, patch) as names:
            words = shlex.split(case["command"].replace("7070", next((k for k, v in names.items() if v == "7070"), "")))
            ended = line.run(*more, *words, environment=variables | environment)
    for found, name in names.items():
        ended = Ended(ended.code, ended.out.replace(found, name), ended.err.replace(found, name))
    return ended


def check_text(text: str, expected: Path) -> None:
    """Fail unless the text is that of the file, or write it there if that is asked for."""
    if os.environ.get("RECONCILER_REWRITE"):
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_mistake_is_told_with_its_place_its_reason_and_what_to_do(folder: Path, tmp_path: Path) -> None:
    ended = run_case(folder, tmp_path)
    command = yaml.safe_load((folder / "case.yaml").read_text())["command"]
    report = ended.out.partition("Plan hash: ")[2].partition("\n")[2]  # of an apply
    check_text(f"$ reconciler {command}\n{report}{ended.err}[exit {ended.code}]\n", folder / "expected.txt")
    assert ended.code


@pytest.mark.parametrize("folder", NARROW, ids=lambda folder: folder.name)
def test_a_mistake_is_told_in_fifty_columns(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.cli.ui.errors.error_width", lambda: 50)
    shown = run_case(folder, tmp_path).err
    check_text(shown, folder / "expected-50.txt")
    assert all(columns(line) <= 50 for line in shown.split("\n"))


def facts_of(document: dict[str, Any]) -> list[str]:
    """The texts of a document that say what went wrong and what to do."""
    told = document.get("error", document)
    each = [*told.get("errors", []), *([told] if "errors" not in told else [])]
    places = [f"{one['file']}:{one['line']}:{one['column']}: error:" for one in each if "file" in one]
    words = [one.get(key) for one in each for key in ("message", "hint", "remedy")]
    return [*places, *filter(None, words)]


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_json_and_annotations_have_the_same_facts(folder: Path, tmp_path: Path) -> None:
    ended = run_case(folder, tmp_path, "-o", "json", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(tmp_path))
    lines = ended.err.splitlines()
    expected = " ".join((folder / "expected.txt").read_text().split())
    annotations = [line for line in lines if line.startswith("::error ")]
    if ended.code == 64 or "Not all was applied" in expected:
        return  # a usage error is click's own; the report of an apply has schemas and tests of its own
    document = json.loads(ended.out)
    assert facts_of(document) or "resource_changes" in document  # it was printed before it could not be saved
    for fact in facts_of(document):
        assert " ".join(fact.split()) in expected
    if annotations:
        assert len(annotations) == len([line for line in expected.split(" ") if line == "error:"])
    text = "\n".join(line for line in lines if not line.startswith("::error "))
    assert " ".join(text.split()) in expected


TOLD = {"UsageError", "TargetError", "UnobservedError", "RegistryError", "BuildError", "LeaseLostError", "NoSpecError"}


def calls_without_a_hint(path: Path) -> Iterator[str]:
    """Each call that makes one of these errors, or a finding in a spec, and says not what to do."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or any(keyword.arg in {"hint", None} for keyword in node.keywords):
            continue
        called = ast.unparse(node.func)
        is_finding = re.fullmatch(r"(self\._)?findings\.add(_at|_unknown|_unset)?", called)
        if (
            called in TOLD
            or is_finding
            or (called == "self._fail" and path.name == "document.py" and len(node.args) < 3)
        ):
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)[:100]}"


def test_each_error_says_what_to_do_next() -> None:
    assert [call for path in PACKAGE.rglob("*.py") for call in calls_without_a_hint(path)] == []
