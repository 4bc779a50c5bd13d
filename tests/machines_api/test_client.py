"""Single replies of all kinds, and what the client makes of them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.clock import SystemClock
from reconciler.errors import ApiError, ApiErrorKind, TargetError
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.connections import open_http
from reconciler.machines_api.transport import TraceEntry
from reconciler.model.config import MachineConfig
from reconciler.model.ip_address import IpKind
from reconciler.model.machine import MachineState
from reconciler.model.secret import Secret
from tests.support.single_replies import Handler, failure, with_client


def answering(status: int, content: Any = None, **headers: str) -> Handler:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda _request: httpx.Response(status, content=body, headers=headers)


def test_a_target_that_cannot_be_reached_is_told_apart_from_a_local_engine_that_does_not_run() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    assert "check host and port of the URL" in (failure(refuse, lambda client: client.list_machines("app")).hint or "")
    with pytest.raises(ApiError) as caught:
        with_client(refuse, lambda client: client.list_machines("app"), relocate=lambda: None)
    assert caught.value.hint == "the local engine is not running; the next command or call starts it"


def test_a_write_that_a_proxy_refuses_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ProxyError("403 Forbidden", request=request)

    refused = failure(refuse, lambda client: client.apps.create("app", org="personal"))
    assert (refused.kind, refused.hint) == (
        ApiErrorKind.UNREACHABLE,
        "check HTTPS_PROXY and the network, or name the host in NO_PROXY",
    )

    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed", request=request)

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    assert "the proxy is not there" in failure(nobody, lambda client: client.list_machines("app")).message
    monkeypatch.setenv("NO_PROXY", "api.example")
    assert "proxy" not in failure(nobody, lambda client: client.list_machines("app")).message


def test_a_proxy_of_another_kind_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://someone:canary-password@proxy.example")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(TargetError) as caught:
        open_http("https://api.example", None, user_agent="test", transport=None)
    assert "it is no http:// URL" in caught.value.message
    assert "canary" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize("proxy", ["", "http://proxy.example:3128"])
@pytest.mark.parametrize(("content", "why"), [(None, "No such file or directory"), ("no PEM", "no certificate")])
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: str, content: str | None, why: str
) -> None:
    if content:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(TargetError) as caught:
        MachinesClient(base_url="https://api.example", token=None, clock=SystemClock())
    assert f"the CA certificates of {tmp_path / 'ca.pem'} cannot be read: " in caught.value.message
    assert why in caught.value.message
    assert "SSL_CERT_FILE" in (caught.value.hint or "")


def test_what_an_unclear_answer_leaves_open_depends_on_the_call() -> None:
    reply = answering(502, {"error": "bad gateway"})
    looked = failure(reply, lambda client: client.list_machines("app"))
    assert looked.hint
    assert "changed nothing" in looked.hint
    created = failure(reply, lambda client: client.apps.create("app", org="personal"))
    assert created.hint
    assert "may have taken effect" in created.hint


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (answering(200, b"<html>login</html>", **{"content-type": "text/html"}), ApiErrorKind.NOT_AN_API, "not JSON"),
        (answering(200, b'[{"id": "1", "na'), ApiErrorKind.UNCLEAR, "not JSON"),
        (answering(200, {"machines": []}), ApiErrorKind.NOT_AN_API, "list of machines"),
        (answering(200, b"[" * 5000 + b"]" * 5000), ApiErrorKind.NOT_AN_API, "not understood: expected less nesting"),
        (answering(302, b"", location="https://elsewhere"), ApiErrorKind.NOT_AN_API, "302"),
        (answering(401, {"error": "unauthenticated"}), ApiErrorKind.UNAUTHORIZED, "401"),
        (answering(403, {"error": "unauthorized"}), ApiErrorKind.FORBIDDEN, "403"),
        (answering(422, {"error": "no"}), ApiErrorKind.BAD_INPUT, "422 no"),
        (answering(500, b"<h1>oops</h1>"), ApiErrorKind.UNCLEAR, "500 oops"),
    ],
)
def test_an_answer_that_is_no_list_is_one_clear_error(reply: Handler, kind: ApiErrorKind, words: str) -> None:
    error = failure(reply, lambda client: client.list_machines("app"))
    assert error.kind is kind
    assert "list machines of app" in error.message
    assert words in error.message
    assert kind is ApiErrorKind.BAD_INPUT or error.hint


def test_a_missing_app_is_an_answer_and_not_an_error() -> None:
    missing = answering(404, {"error": "app not found"})
    assert with_client(missing, lambda client: client.list_machines("app")) is None
    assert with_client(missing, lambda client: client.apps.get("app")) is None


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_ip_addresses_is_told_what_to_do(status: int) -> None:
    reply = answering(status, {"error": "no such call"})
    listed = failure(reply, lambda client: client.apps.addresses("shop"))
    allocated = failure(reply, lambda client: client.apps.allocate("shop", IpKind.V6))
    assert (
        listed.hint == allocated.hint == "if this server has no IP addresses, take `addresses` out of the spec of shop"
    )
    assert "addresses" not in (failure(answering(403, {}), lambda client: client.apps.addresses("shop")).hint or "")


def test_a_server_that_never_answers_is_given_up_and_a_write_then_is_unclear() -> None:
    sent = []

    async def silence(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        await asyncio.sleep(1_000_000)
        raise AssertionError

    error = failure(silence, lambda client: client.list_machines("app"))
    assert error.kind is ApiErrorKind.UNCLEAR
    assert sent == ["GET"] * 4
    sent.clear()
    error = failure(silence, lambda client: client.start_machine("app", "1", nonce=None))
    assert error.kind is ApiErrorKind.UNCLEAR
    assert sent == ["POST"]


def test_half_a_reply_to_a_write_leaves_open_what_was_done() -> None:
    config = MachineConfig(document={"image": "i"})

    def create(client: MachinesClient) -> Any:
        return client.create_machine("app", name="a", region="iad", config=config, skip_launch=True)

    assert failure(answering(200, b'{"id": "12'), create).kind is ApiErrorKind.UNCLEAR


def test_a_429_is_waited_out_and_the_call_sent_again() -> None:
    answers = [
        httpx.Response(429, json={"error": "rate limit exceeded"}, headers={"retry-after": "9"}),
        httpx.Response(200, json=[]),
    ]

    async def work(client: MachinesClient) -> float:
        await client.list_machines("app")
        return asyncio.get_running_loop().time()

    assert with_client(lambda _request: answers.pop(0), work) == 9.0
    assert answers == []


def test_a_429_holds_back_the_other_calls_that_it_is_about_and_no_others() -> None:
    sent: list[tuple[float, str]] = []

    def reply(request: httpx.Request) -> httpx.Response:
        sent.append((asyncio.get_running_loop().time(), request.url.path))
        is_first = len(sent) == 1
        return (
            httpx.Response(429, headers={"retry-after": "9"}) if is_first else httpx.Response(200, json=[{"id": "1"}])
        )

    async def work(client: MachinesClient) -> None:
        first = asyncio.create_task(client.list_machines("app"))
        await asyncio.sleep(2)
        await asyncio.gather(first, client.list_machines("app"), client.list_machines("other"))

    with_client(reply, work)
    assert sorted(at for at, path in sent if "other" not in path) == [0.0, 9.0, 9.0]
    assert [at for at, path in sent if "other" in path] == [2.0]


def test_the_affinity_cookie_comes_back_on_the_next_call() -> None:
    cookies = []

    def reply(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie"))
        return httpx.Response(200, json=[], headers={"set-cookie": "fly_flaps_affinity=node1; Path=/v1/apps/app"})

    async def work(client: MachinesClient) -> None:
        await client.list_machines("app")
        await client.list_machines("app")

    with_client(reply, work)
    assert cookies == [None, "fly_flaps_affinity=node1"]


def test_each_request_is_spelled_as_any_server_reads_it() -> None:
    requests: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201, json={})

    async def work(client: MachinesClient) -> None:
        await client.apps.create("app", org="personal")
        await client.wait_machine(
            "app",
            "1",
            states=(MachineState.STOPPED, MachineState.FAILED),
            version="V",
            from_event_id="E",
            timeout_s=900,
        )
        await client.stop_machine("app", "1", nonce=Secret("n"), signal="SIGTERM", timeout_s=90)

    with_client(reply, work)
    create, wait, stop = requests
    assert json.loads(create.content) == {"name": "app", "app_name": "app", "org_slug": "personal"}
    assert wait.url.query == b"state=stopped&state=failed&timeout=55&version=V&from_event_id=E"
    assert json.loads(stop.content) == {"signal": "SIGTERM", "timeout": "90s"}
    assert stop.headers["fly-machine-lease-nonce"] == "n"
    assert {request.headers["authorization"] for request in requests} == {"Bearer hush"}


def test_a_trace_tells_neither_tokens_nor_bodies() -> None:
    entries: list[TraceEntry] = []
    with_client(answering(200, []), lambda client: client.list_machines("app"), trace=entries.append)
    assert [(entry.method, entry.path, entry.status) for entry in entries] == [("GET", "/v1/apps/app/machines", 200)]


def test_a_server_that_moved_is_asked_where_it_serves_now() -> None:
    asked: list[str] = []
    places = iter([None, "http://127.0.0.1:2"])

    def moved(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.host}:{request.url.port} {request.headers['authorization']}")
        if request.url.host == "api.example":
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Response(200, json={"id": "m"})

    async def write_and_look(client: MachinesClient) -> None:
        await client.apps.create("app", org="personal")
        await client.logs.read("app", machine_id="m", next_token=None)

    with_client(moved, write_and_look, relocate=lambda: next(places))
    gone, there = "api.example:None Bearer hush", "127.0.0.1:2 Bearer hush"
    assert asked == [f"POST {gone}", f"POST {gone}", f"POST {there}", f"GET {there}"]


@pytest.mark.parametrize("fault", [httpx.ReadError, httpx.ReadTimeout])
def test_a_write_that_may_have_arrived_is_sent_to_no_other_place(fault: type[httpx.TransportError]) -> None:
    asked: list[str] = []

    def lost(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        raise fault("gone", request=request)

    with pytest.raises(ApiError):
        with_client(
            lost, lambda client: client.apps.create("app", org="personal"), relocate=lambda: "http://127.0.0.1:2"
        )
    assert asked == ["api.example"]


def test_a_call_that_is_refused_for_its_rate_again_and_again_is_announced() -> None:
    said: list[str] = []
    answers = iter([answering(429, {}, **{"retry-after": "1"})] * 8)
    fine = answering(200, [])
    with_client(
        lambda request: next(answers, fine)(request), lambda client: client.list_machines("app"), notice=said.append
    )
    assert said == ["rate limited by the platform: 'list machines' waits longer than 5 s"]


@pytest.mark.parametrize(("status", "kind"), [(409, "stale version"), (412, "stale version"), (400, "bad input")])
def test_an_update_that_is_refused_without_a_known_text_is_of_a_stale_version(status: int, kind: str) -> None:
    def update(client: MachinesClient) -> Any:
        config = MachineConfig(document={"image": "i"})
        return client.update_machine(
            "app", "1", name="a", region="iad", config=config, nonce=Secret("n"), current_version="V", skip_launch=True
        )

    assert failure(answering(status, {"error": "no"}), update).kind.value == kind
