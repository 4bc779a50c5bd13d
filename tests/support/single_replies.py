"""A client whose every request a function answers: single replies, and the errors that they become."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.errors import ApiError
from reconciler.machines_api.client import MachinesClient
from reconciler.model.secret import Secret
from reconciler.testing.virtual_time import VirtualClock, run_virtually

Handler = Callable[[httpx.Request], Any]


def with_client(handler: Handler, work: Callable[[MachinesClient], Any], **options: Any) -> Any:
    """What the work with a client returns whose every request the handler answers."""

    async def run() -> Any:
        transport = httpx.MockTransport(handler)
        async with MachinesClient(
            base_url="https://api.example", token=Secret("hush"), clock=VirtualClock(), transport=transport, **options
        ) as client:
            return await work(client)

    return run_virtually(run())


def failure(handler: Handler, work: Callable[[MachinesClient], Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        with_client(handler, work)
    assert "hush" not in f"{caught.value!r}{caught.value.message}{caught.value.hint}"
    return caught.value
