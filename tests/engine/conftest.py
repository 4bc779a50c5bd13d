"""The API of the test's `world`."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.engine_api import Ask, api_of
from tests.support.world import World


@pytest.fixture
def ask(world: World, virtual_time: asyncio.Runner) -> Iterator[Ask]:
    """Asks the engine of the test's world."""
    opening = api_of(world)
    yield virtual_time.run(opening.__aenter__())
    virtual_time.run(opening.__aexit__(None, None, None))
