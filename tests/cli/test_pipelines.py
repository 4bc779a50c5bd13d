"""What a pipeline sees of us: annotations at the spec's lines, and a line now and then while something takes long."""

from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.testing.virtual_time import VirtualClock
from tests.support.environment import clear_environment

BROKEN = "version: 1\nname: s\napps:\n  app:\n    image: i\n    tasks:\n      t: {comand: x, count: 'a:b,c%'}\n"


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clear_environment(monkeypatch)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("RECONCILER_TARGET", "http://127.0.0.1:1")
    folder = tmp_path / "deploy"
    folder.mkdir()
    (folder / "machines.yaml").write_text(BROKEN)
    monkeypatch.chdir(folder)
    return folder


def commands(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("::")]


@pytest.mark.parametrize("arguments", [("validate",), ("validate", "-o", "json"), ("plan",), ("apply", "--yes")])
def test_each_error_of_a_spec_is_annotated_at_its_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments]) == 1
    found = commands(capsys.readouterr().err)
    assert [line.partition(",title")[0] for line in found] == [
        "::error file=deploy/machines.yaml,line=7,col=11",
        "::error file=deploy/machines.yaml,line=7,col=29",
    ]
    assert found[0].endswith("::unknown key `comand`%0Adid you mean `command`?")
    assert found[1].endswith("found 'a:b,c%25'")


def test_an_error_elsewhere_is_annotated_without_a_place(
    pipeline: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (pipeline / "machines.yaml").write_text("version: 1\nname: s\napps: {app: {image: i, tasks: {t: {}}}}\n")
    assert run(["plan"]) == 1
    [line] = commands(capsys.readouterr().err)
    assert line.startswith("::error title=reconciler::")
    assert "%0Acheck host and port of the URL" in line
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert run(["plan"]) == 1
    assert commands(capsys.readouterr().err) == []


async def test_silence_is_broken_every_half_minute_and_news_put_it_off(capsys: pytest.CaptureFixture[str]) -> None:
    clock = VirtualClock()
    async with Heartbeat(clock=clock) as beats:
        tell = beats.heard(lambda _news: None)
        tell("work-iad-0: started")
        await clock.sleep(70)
        for _ in range(10):
            tell("a line of the task")
            await clock.sleep(20)
        await clock.sleep(35)
    assert capsys.readouterr().err.splitlines() == [
        "still waiting after 30s; the last news: work-iad-0: started",
        "still waiting after 1m00s; the last news: work-iad-0: started",
        "still waiting after 5m00s; the last news: a line of the task",
    ]


async def test_outside_of_a_pipeline_silence_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI")

    async with Heartbeat(clock=VirtualClock()):
        await VirtualClock().sleep(1000)
    assert capsys.readouterr().err == ""
