"""The stub of lists, and the client that costs next to nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.answers import loaded, text_of
from benchmarks.measure import environment
from benchmarks.raw_client import ask_all, request_text
from benchmarks.stub import _Lists, serve_lists


@pytest.mark.slow
@pytest.mark.parametrize(("apps", "in_each"), [(1, 2100), (3, 2)])
def test_a_plan_of_the_stub_has_no_changes(tmp_path: Path, apps: int, in_each: int) -> None:
    text = text_of(apps=apps, in_each=in_each)
    (tmp_path / "machines.yaml").write_text(text)
    with serve_lists(loaded(text)) as url:
        ended = subprocess.run(
            [sys.executable, "-m", "reconciler.cli", "plan", "--trace-http"],
            cwd=tmp_path,
            env=environment(RECONCILER_TARGET=url, FLY_API_TOKEN="t"),
            capture_output=True,
            text=True,
        )
    assert (ended.returncode, ended.stderr.count(" -> 200 ")) == (0, 3), ended.stderr
    assert f"No changes. {apps * in_each} machines are as declared." in ended.stdout


def ask(url: str, path: str, *, jobs: int) -> None:
    place = urlsplit(url)
    assert place.hostname
    assert place.port
    asked = [[request_text("GET", path, token="t")] * 2] * jobs
    asyncio.run(ask_all(place.hostname, place.port, 3, asked))


def test_the_raw_client_asks_for_everything_and_refuses_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answer = _Lists.do_GET

    def count(handler: _Lists) -> None:
        asked.append(handler.path)
        answer(handler)

    monkeypatch.setattr(_Lists, "do_GET", count)
    with serve_lists(loaded(text_of(apps=1, in_each=1100))) as url:
        ask(url, "/v1/apps/app-0/machines", jobs=7)
        assert asked == ["/v1/apps/app-0/machines"] * 14
        with pytest.raises(RuntimeError, match="404 Not Found"):
            ask(url, "/v1/apps/other/machines", jobs=1)
