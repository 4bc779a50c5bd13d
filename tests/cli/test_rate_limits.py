"""Each verb that talks says that it waits for the platform's rate limit, once that takes more than five seconds."""

from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import VERBS, run
from reconciler.testing.virtual_time import VirtualClock, run_virtually
from tests.support.all_transports import answer_all
from tests.support.environment import clear_environment

SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {t: {command: [x]}}, services: {web: {command: [x]}}}}\n"
TALKING = {
    "plan": (),
    "apply": ("--yes",),
    "drift": (),
    "status": (),
    "invoke": ("t",),
    "runs": (),
    "wait": ("t-iad-0/01ABC",),
    "logs": ("web",),
    "cancel": ("t-iad-0/01ABC",),
    "destroy": ("--yes",),
    "release": ("--yes",),
    "unlock": (),
    "import": ("app",),
}
BOUNDED = {"doctor"}  # which waits for no rate limit
OFFLINE = {"init", "validate", "show", "diff", "build", "engine", "help", "schema", "completion", "version"}


@pytest.fixture(autouse=True)
def virtual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_TARGET", "http://api.example")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC)
    for module in (
        "ui.run_apply",
        *(
            f"commands.{verb.replace('import', 'import_')}"
            for verb in TALKING
            if verb not in {"apply", "destroy", "release"}
        ),
    ):
        monkeypatch.setattr(f"reconciler.cli.{module}.run_async", lambda work, **_options: run_virtually(work))
    monkeypatch.setattr("reconciler.clock.SystemClock", VirtualClock)


def refuse(monkeypatch: pytest.MonkeyPatch, *, wait_s: int, times: int) -> None:
    """Lets the API refuse so many calls for their rate, and all later ones for good."""
    answers = [httpx.Response(429, json={}, headers={"retry-after": str(wait_s)}) for _ in range(times)]

    async def answer(_transport: object, _request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else httpx.Response(403, json={"error": "no"})

    answer_all(monkeypatch, answer)


@pytest.mark.parametrize("verb", TALKING)
def test_a_long_wait_is_announced(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch, wait_s=30, times=1)
    run([verb, *TALKING[verb]])
    shown = capsys.readouterr()
    assert "rate limited by the platform: 'list machines' waits 30 s" in shown.err
    assert "rate limited" not in shown.out


@pytest.mark.parametrize("verb", TALKING)
def test_a_short_wait_is_not(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(monkeypatch, wait_s=2, times=2)
    run([verb, *TALKING[verb]])
    assert "rate limited" not in capsys.readouterr().err


def test_every_verb_that_talks_is_tried() -> None:
    assert VERBS.keys() - OFFLINE - BOUNDED == TALKING.keys()
