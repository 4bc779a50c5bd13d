"""The addresses of an app: what the client asks, and what it makes of the answers."""

from typing import Any

import pytest

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api.ip_addresses import addresses_from_json
from reconciler.machines_api.values import MalformedError
from reconciler.model.ip_address import IpAddress, IpKind
from tests.support.world import World


async def test_each_kind_is_allocated_listed_and_told_by_the_address_itself(world: World) -> None:
    apps = world.context.client.apps
    await apps.create("app", org="personal")
    assert await apps.addresses("app") == ()
    made = [await apps.allocate("app", kind) for kind in IpKind]
    assert [one.kind for one in made] == [*IpKind]
    assert await apps.addresses("app") == tuple(made)


async def test_an_allocation_whose_reply_is_lost_is_unclear_and_is_not_sent_again(world: World) -> None:
    apps = world.context.client.apps
    await apps.create("app", org="personal")
    world.engine.faults.add("lose_reply", calls=("assign_ip",), times=1)
    with pytest.raises(ApiError) as caught:
        await apps.allocate("app", IpKind.V6)
    assert caught.value.is_unclear
    assert [one.kind for one in await apps.addresses("app")] == [IpKind.V6]


async def test_an_app_that_is_not_there_has_no_list(world: World) -> None:
    with pytest.raises(ApiError) as caught:
        await world.context.client.apps.addresses("nowhere")
    assert caught.value.kind is ApiErrorKind.NOT_FOUND


def test_addresses_for_calling_out_are_none_of_an_app() -> None:
    answer = {"ips": [{"ip": "2001:db8::1", "egress": True}, {"ip": None, "egress": True}, {"ip": "203.0.113.7"}]}
    assert addresses_from_json(answer) == (IpAddress(ip="203.0.113.7", kind=IpKind.V4),)
    assert addresses_from_json({"ips": None}) == addresses_from_json({}) == ()


@pytest.mark.parametrize(
    "answer", [None, [], {"ips": {}}, {"ips": [None]}, {"ips": [{"ip": "everywhere"}]}, {"ips": [{}]}]
)
def test_an_answer_that_is_not_understood_is_no_empty_list(answer: Any) -> None:
    with pytest.raises(MalformedError):
        addresses_from_json(answer)
