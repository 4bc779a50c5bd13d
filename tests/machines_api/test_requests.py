"""What is sent for a call: what httpx's own client sends, with less work."""

from unittest.mock import Mock

import httpx
import pytest

from reconciler.machines_api.client import USER_AGENT, MachinesClient
from reconciler.model.machine import MachineState
from reconciler.model.secret import Secret
from tests.support.single_replies import with_client

MACHINE = "/v1/apps/app/machines/m1"


def test_a_call_is_sent_as_httpx_sends_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, str(request.url), sorted(request.headers.raw), request.content))
        return httpx.Response(200, json={"previous_state": "stopped"}, headers={"set-cookie": "affinity=1; Path=/"})

    async def work(client: MachinesClient) -> None:
        await client.set_metadata("app", "m1", "a key", "é")
        await client.start_machine("app", "m1", nonce=Secret("nonce"))
        await client.wait_machine("app", "m1", states=[MachineState.STOPPED], version=None, timeout_s=5)

    sent: list[object] = []
    with_client(answer, work)
    ours, sent = sent, []
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Authorization": "Bearer hush"}
    with httpx.Client(base_url="https://api.example", headers=headers, transport=httpx.MockTransport(answer)) as http:
        body = '{"value":"é"}'.encode()
        http.post(f"{MACHINE}/metadata/a%20key", content=body, headers={"Content-Type": "application/json"})
        http.post(f"{MACHINE}/start", headers={"fly-machine-lease-nonce": "nonce"})
        http.get(f"{MACHINE}/wait", params={"state": "stopped", "timeout": 5})
    assert ours == sent


def test_the_url_of_a_call_that_is_made_again_is_not_taken_apart_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(client: MachinesClient) -> None:
        for times in (1, 0):
            parse.reset_mock()
            await client.set_metadata("app", "m1", "key", "value")
            assert parse.call_count == times

    parse = Mock(wraps=vars(httpx._urls)["urlparse"])
    monkeypatch.setattr("httpx._urls.urlparse", parse)
    with_client(lambda _: httpx.Response(200), work)
