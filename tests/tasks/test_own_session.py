"""One session for one event loop: any other loop is refused in words, and a close lets it be opened anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from reconciler.operations.session import Session
from reconciler.tasks.own_session import OwnLoop, OwnSession


class Sessions:
    """Makes sessions, and counts how many are open."""

    def __init__(self) -> None:
        self.made: list[object] = []
        self.open = 0

    @asynccontextmanager
    async def make(self) -> AsyncIterator[Session]:
        await asyncio.sleep(0)
        self.made.append(object())
        self.open += 1
        yield cast(Session, self.made[-1])
        self.open -= 1


def test_it_is_opened_once_however_many_ask_and_closed_once() -> None:
    sessions = Sessions()
    own = OwnSession(sessions.make)

    async def use() -> None:
        assert len({id(one) for one in await asyncio.gather(*(own.open() for _ in range(5)))}) == 1
        assert sessions.open == 1
        await own.close()
        await own.close()
        assert sessions.open == 0

    for _ in range(2):  # each time on another loop
        asyncio.run(use())
    assert len(sessions.made) == 2


def test_another_loop_is_refused_until_it_is_closed() -> None:
    sessions = Sessions()
    own = OwnSession(sessions.make)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(own.open())
        with pytest.raises(RuntimeError, match="in use on another event loop: make one for each loop"):
            second.run(own.open())
        with pytest.raises(RuntimeError, match="in use on another event loop"):
            second.run(own.close())
        first.run(own.close())
        second.run(own.open())
        second.run(own.close())
    assert sessions.open == 0


def test_a_loop_that_has_ended_has_taken_its_session_with_it() -> None:
    sessions = Sessions()
    own = OwnSession(sessions.make)
    asyncio.run(own.open())
    with pytest.raises(RuntimeError, match="in use on an event loop that has ended"):
        asyncio.run(own.open())
    asyncio.run(own.close())
    with asyncio.Runner() as later:
        later.run(own.open())
        later.run(own.close())
    assert len(sessions.made) == 2


def test_a_run_is_waited_for_on_its_own_loop() -> None:
    own = OwnLoop()

    async def require() -> None:
        own.require()

    asyncio.run(require())
    with pytest.raises(RuntimeError, match="event loop that has ended"):
        asyncio.run(require())
