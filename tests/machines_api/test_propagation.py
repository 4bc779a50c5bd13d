"""Refusals of an app that was just created are asked again, those of any other app are believed."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.errors import ApiError
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.observe import observe
from reconciler.model.config import MachineConfig
from reconciler.model.secret import Secret
from reconciler.testing.virtual_time import VirtualClock
from tests.support.single_replies import with_client

CONFIG = MachineConfig(document={"image": "x"})


def create(client: MachinesClient) -> Any:
    return client.create_machine("app", name="work-iad-0", region="iad", config=CONFIG, skip_launch=True)


def asked(status: int, work: Any, *, new_app: str | None, is_json: bool = True) -> int:
    """How many requests the work sends while the API refuses all calls with this status."""
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        text = "sql: no rows in result set"
        return httpx.Response(status, json={"error": text}) if is_json else httpx.Response(status, text=text)

    async def run(client: MachinesClient) -> None:
        if new_app:
            client.new_apps.add(new_app)
        with pytest.raises(ApiError):
            await work(client)

    with_client(refuse, run)
    return len(requests)


@pytest.mark.parametrize("status", [404, 401, 422])
def test_a_create_in_a_new_app_is_sent_again_for_a_minute(status: int) -> None:
    assert 30 <= asked(status, create, new_app="app") <= 62
    assert asked(status, create, new_app="other") == asked(status, create, new_app=None) == 1


def test_a_new_app_is_waited_for_where_the_404_is_no_json_either() -> None:
    assert asked(404, create, new_app="app", is_json=False) >= 30
    assert asked(404, create, new_app=None, is_json=False) == 1


@pytest.mark.parametrize("status", [400, 403, 409, 500])
def test_what_is_final_or_may_have_had_its_effect_is_not_sent_again(status: int) -> None:
    assert asked(status, create, new_app="app") == 1


@pytest.mark.parametrize("status", [404, 401, 422, 500])
def test_a_look_is_repeated_whatever_way_it_shows(status: int) -> None:
    def look(client: MachinesClient) -> Any:
        return client.get_machine("app", "m1")

    assert asked(status, look, new_app="app") >= 30
    assert asked(status, look, new_app=None) <= 4


def test_nothing_is_sent_again_under_a_lease() -> None:
    """The lease may have ended by then."""

    def destroy(client: MachinesClient) -> Any:
        return client.delete_machine("app", "m1", nonce=Secret("n"))

    assert asked(404, destroy, new_app="app") == 1


@pytest.mark.parametrize("status", [401, 422])
def test_an_app_that_another_apply_creates_now_does_not_exist_yet(status: int) -> None:
    def answer(listed: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
        refused = httpx.Response(status, json={"error": "unauthenticated"})
        return lambda request: listed if request.url.path.endswith("/machines") else refused

    def observed(listed: httpx.Response) -> Any:
        return with_client(answer(listed), lambda client: observe(client, ["app"], clock=VirtualClock()))

    assert not observed(httpx.Response(404, json={"error": "app not found"})).apps["app"].exists
    with pytest.raises(ApiError):  # it exists, so the refusal is meant
        observed(httpx.Response(200, json=[]))
