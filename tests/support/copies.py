"""One operation cut short at each of its requests: at each of them a copy of the process goes another way, to the end.

So a fault at request 60 costs only what comes after it: the world and the 59 requests before it are shared. A copy is a
fork. On virtual time that copies everything: the engine's store, runs in progress, timers, what the client is doing.
"""

import asyncio
import gc
import os
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from tests.support.faults import DeadError
from tests.support.world import World


class Copies:
    """Copies of this process, each of which ends with the block. The block fails with the traceback of one that fails.

    The block goes on to its end in this process too: that is the case in which nothing goes wrong. There are at most
    `most` copies. With a `stride` only every so many places of the block get one, from the `first` on.
    """

    def __init__(self, *, most: int | None = None, stride: int = 1, first: int = 0) -> None:
        self.made = 0
        self._asked = 0
        self._most = most
        self._stride = stride
        self._first = first
        self._failure = ""
        self._report: int | None = None  # in a copy: the pipe on which it tells how it ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._report is not None:
            with os.fdopen(self._report, "w", errors="replace") as report:
                report.write("".join(traceback.format_exception(error)) if error else "")
            os._exit(0)
        if self._failure:
            raise AssertionError(self._failure)

    @property
    def is_copy(self) -> bool:
        """Whether this process is a copy."""
        return self._report is not None

    def part(self, where: str) -> bool:
        """Return True in a new copy of this process; here False, once the copy has ended.

        A copy makes no copies, and after a failure there are no more.
        """
        self._asked += 1
        if self.is_copy or self._failure or self.made == self._most:
            return False
        if (self._asked - 1 - self._first) % self._stride:
            return False
        self.made += 1
        reading, writing = os.pipe()
        child = _fork()
        if child == 0:
            os.close(reading)
            self._report = writing
            return True
        os.close(writing)
        with os.fdopen(reading, errors="replace") as report:
            told = report.read()
        _, status = os.waitpid(child, 0)
        if told or status:
            self._failure = f"{where}:\n{told or f'the copy ended with status {status}'}"
        return False

    @contextmanager
    def at_each_request(self, world: World, hit: Callable[[int], object]) -> Iterator[None]:
        """Call `hit` at each request of this block, each in a copy of its own, before the engine has the request.

        It is given how far ahead of the engine's next request this one is: 0, or more where others are on their way.
        """
        check, first, asked = world.transport.before, world.engine.faults.requests, self._asked

        def before(request: Any) -> None:
            check(request)
            if self.part(f"at request {self._asked - asked}"):
                world.transport.before = check
                hit(first + self._asked - asked - 1 - world.engine.faults.requests)

        world.transport.before = before
        try:
            yield
        finally:
            world.transport.before = check

    def strike(self, world: World, fault: str) -> AbstractContextManager[None]:
        """Let this fault of FAULTS strike each request of the block, each in a copy of its own."""

        def hit(ahead: int) -> None:
            others = list(world.engine.faults.rules)
            world.transport.strike(fault, ahead=ahead)
            world.engine.faults.rules.extend(others)

        return self.at_each_request(world, hit)

    async def kill(self, world: World, work: Awaitable[Any], *, is_sent: bool = True) -> None:
        """Do the work; in the copies, let its process die at one request, right after it is sent or before it.

        Then nothing is awaited, released or cleaned up any more.
        """
        check = world.transport.before
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_dead = False

        def before(request: Any) -> None:
            nonlocal is_dead
            if is_dead:
                raise DeadError
            check(request)
            if self.part(f"killed at request {self._asked}"):
                reached.set_result(None)
                if not is_sent:
                    is_dead = True
                    raise DeadError

        world.transport.before = before
        working = asyncio.ensure_future(work)
        await asyncio.wait({working, reached}, return_when=asyncio.FIRST_COMPLETED)
        if reached.done():
            is_dead = True
            working.cancel()
        await asyncio.gather(working, return_exceptions=reached.done())
        world.transport.before = check


def _fork() -> int:
    """Fork, with the running loop running in both. The other threads, which a copy lacks, hold nothing it needs."""
    loop = asyncio.get_running_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since Python 3.12, where there are other threads
        child = os.fork()
    if child == 0:
        gc.disable()  # a collection would write to every page, and so copy all of the memory; and it ends soon
        asyncio._set_running_loop(loop)  # asyncio forgets the loop in a child
    return child
