"""Record what each test asks of the API and is told in the end: a refactoring must change no byte of it.

    PYTHONHASHSEED=0 pytest -p tests.support.transcript --transcript before.jsonl tests/scenarios tests/planner
    (the same after the change, into after.jsonl)
    python -m tests.support.transcript before.jsonl after.jsonl

Where a few tests differ between two runs of one commit (a set of asyncio tasks has no order), record it twice and give
both files before the later one.

A line of the file is one test: its name without its file (tests move), the count of its requests, the digest of the
transcript in its order, and one of the same lines sorted. `--transcript-text DIRECTORY` keeps the transcripts
themselves, a file for each test. Random numbers are seeded, and ids that hold them or the time become numbers in the
order of their first appearance.
"""

import hashlib
import inspect
import json
import os
import random
import re
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# ULIDs (of machines' versions, leases, attempts), machines' ids, nonces and ids of volumes.
IDS = re.compile(rb"\b[0-9A-HJKMNP-TV-Z]{26}\b|\b[0-9a-f]{14}\b|\b[0-9a-f]{12}\b|vol_[0-9a-f]{16}")
_END = b"\0\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--transcript", type=Path)
    parser.addoption("--transcript-text", type=Path)


@pytest.fixture(autouse=True)
def _transcript(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    file, texts = request.config.getoption("--transcript"), request.config.getoption("--transcript-text")
    if file is None:
        yield
        return
    _seed(monkeypatch)
    with tempfile.TemporaryFile(buffering=0) as heard:  # a file, as copies of the process write to it too
        _listen(monkeypatch, lambda line: heard.write(line + _END))
        yield
        heard.seek(0)
        lines = heard.read().split(_END)[:-1]
    if not lines:
        return
    lines = _numbered(lines)
    ordered, alike = (_sha256(lines), _sha256(sorted(lines)))
    row = {"test": request.node.name, "requests": len(lines), "ordered": ordered, "sorted": alike}
    worker = getattr(request.config, "workerinput", {}).get("workerid", "")
    with file.with_name(file.name + worker).open("a") as out:
        out.write(json.dumps(row) + "\n")
    if texts is not None:
        texts.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]+", "_", request.node.name)[:150] + f"-{_sha256([request.node.name.encode()])[:8]}"
        (texts / name).write_bytes(b"\n".join(lines) + b"\n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Join the workers' files into one, sorted by test."""
    file = session.config.getoption("--transcript")
    if file is None or hasattr(session.config, "workerinput"):
        return
    rows: list[str] = []
    for part in file.parent.glob(file.name + "*"):
        rows += part.read_text().splitlines()
        part.unlink()
    file.write_text("\n".join(sorted(rows)) + "\n")


def _seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each source of random numbers start at 0 in each test."""
    chance = random.Random(0)
    monkeypatch.setattr(random, "random", chance.random)
    monkeypatch.setattr(random.SystemRandom, "random", lambda _self: chance.random())
    monkeypatch.setattr(random.SystemRandom, "getrandbits", lambda _self, bits: chance.getrandbits(bits))
    monkeypatch.setattr(secrets, "token_hex", lambda count=32: chance.randbytes(count).hex())
    monkeypatch.setattr(secrets, "randbits", chance.getrandbits)
    monkeypatch.setattr(os, "urandom", chance.randbytes)


def _listen(monkeypatch: pytest.MonkeyPatch, say: Callable[[bytes], object]) -> None:
    """Say each request to an engine in process, and what a world's operations end with."""
    from reconciler.render.json import plan_json
    from reconciler.render.report import report_json
    from reconciler.render.runs import run_json
    from reconciler.testing.transport import EngineTransport
    from tests.support.world import World

    send = EngineTransport.handle_async_request

    async def heard(self: Any, request: Any) -> Any:
        body = await request.aread()
        try:
            response = await send(self, request)
        except Exception as error:
            say(b"%s %s %s -> %s" % (_bytes(request.method), request.url.raw_path, body, _bytes(type(error).__name__)))
            raise
        say(b"%s %s %s -> %d" % (_bytes(request.method), request.url.raw_path, body, response.status_code))
        return response

    monkeypatch.setattr(EngineTransport, "handle_async_request", heard)
    ends: dict[str, Callable[[Any], Any]] = {
        "plan": lambda plan: plan_json(plan, plan_sha256=None, salt=""),
        "apply": report_json,
        "invoke": run_json,
    }
    for name, document in ends.items():
        monkeypatch.setattr(World, name, _told(getattr(World, name), name, document, say))


def _told(operation: Any, name: str, document: Callable[[Any], Any], say: Callable[[bytes], object]) -> Any:
    async def told(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            result = operation(self, *arguments, **options)
            result = await result if inspect.isawaitable(result) else result
        except Exception as error:
            say(_bytes(f"{name}: {type(error).__name__}"))
            raise
        say(_bytes(f"{name}: {json.dumps(document(result), sort_keys=True, default=str)}"))
        return result

    return told


def _numbered(lines: list[bytes]) -> list[bytes]:
    numbers: dict[bytes, bytes] = {}
    return [IDS.sub(lambda found: numbers.setdefault(found[0], b"<%d>" % len(numbers)), line) for line in lines]


def _sha256(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _rows(file: Path) -> Counter[tuple[str, int, str]]:
    rows = map(json.loads, file.read_text().splitlines())
    return Counter((row["test"], row["requests"], row["ordered"]) for row in rows)


def _differences(*before: Path, after: Path) -> Iterator[str]:
    """Name each test that differs from every file `before`, or that is not in both."""
    had, has = [_rows(file) for file in before], _rows(after)
    known = {test: {row for rows in had for row in rows if row[0] == test} for test, _, _ in had[0]}
    for row in sorted(has):
        if row not in known.get(row[0], ()):
            yield f"+ {row[0]}  {row[1]} lines"
    yield from (f"- {test}" for test in sorted(known.keys() - {test for test, _, _ in has}))


if __name__ == "__main__":
    *earlier, later = map(Path, sys.argv[1:])
    found = list(_differences(*earlier, after=later))
    print("\n".join([*found, f"{len(found)} differences"]))
    sys.exit(bool(found))
