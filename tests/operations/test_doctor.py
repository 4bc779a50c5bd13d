"""What the checks of token, target and apps make of each answer, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.errors import UsageError
from reconciler.machines_api.client import MachinesClient
from reconciler.model.finding import Examination, Finding, Level
from reconciler.operations.doctor.examine import CHECKS, LIMIT_S, Check, examine_setup
from reconciler.operations.doctor.setup import Setup
from reconciler.operations.session import Session
from reconciler.slots.context import Context
from reconciler.targets import Target, find_target
from reconciler.testing.virtual_time import VirtualClock, run_virtually
from tests.support.world import app_spec

TOKEN = "fm2_aSecretThatNobodyPrints"
ORG_TOKEN = {"token_id": "1", "org_slug": "acme", "organization": "Acme", "apps": [], "user": ""}
NOW = "Thu, 01 Jan 2026 00:00:00 GMT"  # as virtual time begins
ONLINE = ("token", "target", "apps")

Answer = Callable[[httpx.Request], httpx.Response]


def answering(paths: Mapping[str, Any], *, date: str = NOW) -> Answer:
    """Answers a path by a status, by JSON, or by both; any other path by 404."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = paths.get(request.url.path, 404)
        status, body = found if isinstance(found, tuple) else (found, {"error": "no"})
        return httpx.Response(status, json=body, headers={"date": date})

    return answer


GOOD: Mapping[str, Any] = {
    "/v1/platform/regions": (200, {"Regions": [{"code": "iad"}]}),
    "/v1/tokens/current": (200, {"tokens": [ORG_TOKEN]}),
    "/v1/apps/app": (200, {"name": "app", "machine_count": 2}),
}


def examined(answer: Answer, *checks: str, target: str = "fly", token: str = TOKEN) -> dict[str, list[Finding]]:
    """Runs the checks where the API answers so; the findings by their check."""
    environment = {"FLY_API_TOKEN": token, "FLY_CONFIG_DIR": "/nonexistent"}

    @asynccontextmanager
    async def connect(target: Target) -> AsyncIterator[Session]:
        clock = VirtualClock()
        transport = httpx.MockTransport(answer)
        async with MachinesClient(
            base_url=target.base_url, token=target.token, clock=clock, transport=transport
        ) as client:
            yield Session(context=Context(client=client, clock=clock, who="me"), target=target, environment=environment)

    setup = Setup(
        environment=environment,
        target_name=target,
        directory=Path(),
        spec=app_spec("    tasks: {work: {}}\n"),
        target=find_target(environment, target, needs_token=False),
    )
    chosen = {name: CHECKS[name] for name in checks or ONLINE}
    found = run_virtually(examine_setup(setup, connect, _fail, chosen))
    by_check: dict[str, list[Finding]] = {name: [] for name in chosen}
    for finding in found.findings:
        assert TOKEN not in f"{finding}"
        by_check[finding.check].append(finding)
    return by_check


def _fail(error: Exception) -> None:
    raise error


def test_all_is_well() -> None:
    found = examined(answering(GOOD))
    assert {name: [one.level for one in findings] for name, findings in found.items()} == {
        name: [Level.OK] for name in ONLINE
    }
    assert found["token"][0].text == "of FLY_API_TOKEN: an organisation token of acme"
    assert found["target"][0].text == "https://api.machines.dev answers in 0 ms"
    assert found["apps"][0].text == "app is there"


@pytest.mark.parametrize(
    ("part", "text", "facts"),
    [
        ({"apps": ["app", "b"]}, "a deploy token, for app, b of acme", {"kind": "deploy", "apps": ["app", "b"]}),
        ({"user": "u1"}, "a personal token of acme", {"kind": "personal", "organizations": ["acme"]}),
        ({"org_slug": ""}, "an organisation token of Acme", {"organizations": ["Acme"]}),
        ({"apps": [f"a{n}" for n in range(9)]}, "a deploy token, for a0, a1, a2, a3, a4 and 4 more of acme", {}),
        ({"apps": None, "org_slug": 7, "organization": []}, "an organisation token of 7", {}),
    ],
)
def test_it_is_told_what_the_token_is_for(part: dict[str, Any], text: str, facts: dict[str, Any]) -> None:
    answer = {**GOOD, "/v1/tokens/current": (200, {"tokens": [ORG_TOKEN | part, None, 3]})}
    [found] = examined(answering(answer), "token")["token"]
    assert (found.level, found.text) == (Level.OK, f"of FLY_API_TOKEN: {text}")
    assert facts.items() <= found.facts.items()


@pytest.mark.parametrize(
    ("answers", "level", "text"),
    [
        ({"/v1/tokens/current": 401}, Level.FAIL, "the API refuses it (401)"),
        ({"/v1/tokens/current": 404}, Level.OK, "the API takes it"),
        ({"/v1/tokens/current": 501, "/v1/apps/app": 404}, Level.OK, "the API takes it"),
        ({"/v1/tokens/current": 404, "/v1/apps/app": 401}, Level.FAIL, "the API refuses it (401)"),
        ({"/v1/tokens/current": 404, "/v1/apps/app": 403}, Level.OK, "the API takes it"),
        ({"/v1/tokens/current": 403}, Level.OK, "the API takes it"),
        ({"/v1/tokens/current": (200, [])}, Level.OK, "the API takes it"),
        ({"/v1/tokens/current": 400, "/v1/apps/app": 400}, Level.WARN, "400 no"),
    ],
)
def test_a_token_is_judged_by_what_the_server_tells(answers: dict[str, Any], level: Level, text: str) -> None:
    [found] = examined(answering({**GOOD, **answers}), "token")["token"]
    assert found.level is level
    assert text in found.text
    assert (found.mend is not None) == (level is Level.FAIL) or level is Level.WARN


@pytest.mark.parametrize(
    ("target", "level", "text"),
    [
        ("fly", Level.FAIL, "none: no variable has one, and flyctl is not logged in"),
        ("https://api.example", Level.SKIP, "none is set, and the target may need none"),
    ],
)
def test_without_a_token(target: str, level: Level, text: str) -> None:
    found = examined(answering({**GOOD, "/v1/apps/app": 401}), target=target, token="")
    assert [(one.level, one.text) for one in found["token"]] == [(level, text)]
    assert (level is Level.FAIL) == ("--target local" in (found["token"][0].mend or ""))
    assert found["target"][0].level is Level.OK
    assert [one.level for one in found["apps"]] == [Level.SKIP]


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (404, Level.OK, "app is not there yet: the first apply creates it in personal"),
        (403, Level.FAIL, "403"),
        (400, Level.WARN, "400"),
    ],
)
def test_an_app_is_there_or_not_or_not_ours(answer: int, level: Level, text: str) -> None:
    [found] = examined(answering({**GOOD, "/v1/apps/app": answer}), "apps")["apps"]
    assert found.level is level
    assert text in found.text


def test_a_deploy_token_creates_no_app() -> None:
    deploy = {"/v1/tokens/current": (200, {"tokens": [ORG_TOKEN | {"apps": ["other"]}]})}
    [found] = examined(answering({**GOOD, **deploy, "/v1/apps/app": 404}), "apps")["apps"]
    assert (found.level, found.text) == (Level.WARN, "app is not there yet, and a deploy token creates no app")
    assert found.mend == "`fly apps create app`, or take an organisation's token"
    assert examined(answering({**GOOD, **deploy}), "apps")["apps"][0].level is Level.OK


@pytest.mark.parametrize(
    ("date", "text"),
    [
        ("Wed, 31 Dec 2025 23:59:00 GMT", "this clock is 60 s ahead of the server's"),
        ("Thu, 01 Jan 2026 00:01:00 GMT", "this clock is 60 s behind the server's"),
        ("Thu, 01 Jan 2026 00:00:09 GMT", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_a_clock_that_is_wrong_is_told(date: str, text: str) -> None:
    found = examined(answering(GOOD, date=date), "target")["target"]
    assert found[0].level is Level.OK
    assert [one.level for one in found[1:]] == ([Level.WARN] if text else [])
    assert text in found[-1].text


def _silent(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("")


def _page(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, html="<h1>Log in to our WiFi</h1>")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (_silent, "cannot reach https://api.machines.dev"),
        (_page, "the answer is not JSON (text/html"),
        (answering({"/v1/platform/regions": 503}), "503 no"),
    ],
)
def test_of_a_target_that_does_not_answer_nothing_more_is_asked(answer: Answer, text: str) -> None:
    found = examined(answer)
    assert [one.level for one in found["target"]] == [Level.FAIL]
    assert found["target"][0].text.startswith(text)
    assert found["target"][0].mend
    assert [one.level for one in (*found["token"], *found["apps"])] == [Level.SKIP] * 2


@pytest.mark.parametrize(
    "junk", [None, [], {}, "x", 3, {"tokens": {}, "Regions": 1, "machine_count": "x"}, {"tokens": [{}]}]
)
def test_whatever_json_is_answered_is_a_finding(junk: Any) -> None:
    for path in GOOD:
        found = examined(answering({**GOOD, path: (200, junk)}))
        assert all(findings for findings in found.values())
        assert all(len(one.text) < 300 for findings in found.values() for one in findings)


def test_a_refusal_is_an_answer_too() -> None:
    for status in (401, 403, 404):
        assert examined(answering({"/v1/platform/regions": status}), "target")["target"][0].level is Level.OK


async def test_a_check_that_takes_too_long_or_fails_is_a_finding_and_holds_nothing_up() -> None:
    async def never(_setup: Setup) -> tuple[Finding, ...]:
        await asyncio.Event().wait()
        return ()

    async def refused(_setup: Setup) -> tuple[Finding, ...]:
        raise UsageError("no", hint="do so")

    async def broken(_setup: Setup) -> tuple[Finding, ...]:
        raise KeyError("x")

    bugs: list[Exception] = []
    setup = Setup(environment={}, target_name="local", directory=Path(), spec=UsageError("none"))
    checks = {"late": Check(never, Level.FAIL), "mild": Check(never), "no": Check(refused), "bug": Check(broken)}
    began = asyncio.get_running_loop().time()

    def connect(_target: Target) -> Any:
        raise AssertionError("there is no target to connect to")

    found = await examine_setup(setup, connect, bugs.append, checks)
    assert asyncio.get_running_loop().time() - began == LIMIT_S
    assert [(one.check, one.level, one.text) for one in found.findings] == [
        ("late", Level.FAIL, f"no answer within {LIMIT_S:g} s"),
        ("mild", Level.WARN, f"no answer within {LIMIT_S:g} s"),
        ("no", Level.FAIL, "no"),
        ("bug", Level.FAIL, "unexpected KeyError: 'x'"),
    ]
    assert [type(bug) for bug in bugs] == [KeyError]
    assert all(one.mend for one in found.findings)


def test_only_a_failure_is_unhealthy() -> None:
    levels = (Level.OK, Level.WARN, Level.SKIP)
    findings = tuple(Finding(level=level, text="") for level in levels)
    assert Examination(target="local", findings=findings).is_healthy
    assert not Examination(target="local", findings=(*findings, Finding(level=Level.FAIL, text=""))).is_healthy
