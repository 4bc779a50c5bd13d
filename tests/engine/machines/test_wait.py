"""What a wait does, and does not, until it is over."""

import asyncio

from reconciler.engine.machines.wait import Watchers
from reconciler.testing.virtual_time import VirtualClock


async def test_a_wait_that_is_over_at_once_starts_no_timer() -> None:
    wait = Watchers(VirtualClock()).until("m", lambda: len(asyncio.all_tasks()), 60)
    assert await wait == len(asyncio.all_tasks())
