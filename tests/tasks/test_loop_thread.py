"""A loop in a thread of its own: interrupts wait for the clean-up, and a close leaves nobody waiting."""

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from reconciler.tasks.loop_thread import LoopThread, LoopThreads


class Content:
    """What lives on the loop, and notes what happens to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.began = threading.Event()
        self.never = asyncio.Event()

    async def aclose(self) -> None:
        self.seen.append("closed")

    async def work(self, on_begin: Callable[[], None] = lambda: None) -> None:
        """Begin, wait for ever, and clean up in many steps."""
        try:
            self.began.set()
            on_begin()
            await self.never.wait()
        finally:
            for _ in range(2000):
                await asyncio.sleep(0)
            self.seen.append("cleaned up")

    async def begin_apart(self) -> None:
        """Leave a task on the loop that goes on."""
        self.apart = asyncio.create_task(self.work())


def interrupt() -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Exception]]:
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, raised


def test_an_interrupt_waits_for_the_clean_up() -> None:
    thread = LoopThread(Content)
    with pytest.raises(KeyboardInterrupt):
        thread.call(thread.content.work(interrupt))
    assert thread.content.seen == ["cleaned up"]
    thread.close()
    assert thread.content.seen == ["cleaned up", "closed"]


def test_a_second_interrupt_no_longer_waits_and_a_close_still_does() -> None:
    thread = LoopThread(Content)
    content = thread.content
    may_end = asyncio.Event()

    async def stubborn() -> None:
        try:
            interrupt()
            await content.never.wait()
        finally:
            interrupt()
            await may_end.wait()
            content.seen.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        thread.call(stubborn())
    assert content.seen == []
    closing, raised = in_thread(thread.close)
    thread._loop.call_soon_threadsafe(may_end.set)
    closing.join(timeout=30)
    assert (content.seen, raised) == (["cleaned up", "closed"], [])


def test_a_close_ends_what_another_thread_waits_for() -> None:
    thread = LoopThread(Content)
    waiting, raised = in_thread(lambda: thread.call(thread.content.work(), run_id="slot/1"))
    assert thread.content.began.wait(timeout=30)
    thread.close()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert [type(error) for error in raised] == [RuntimeError]
    assert "closed while this call was under way; run slot/1" in str(raised[0])
    assert "find('slot/1')" in str(raised[0])
    assert thread.content.seen == ["cleaned up", "closed"]


def test_a_close_ends_what_calls_have_left_on_the_loop_before_the_content() -> None:
    thread = LoopThread(Content)
    thread.call(thread.content.begin_apart())
    assert thread.content.began.wait(timeout=30)
    thread.close()
    assert thread.content.seen == ["cleaned up", "closed"]


def test_a_call_after_the_close_is_told_and_nothing_is_never_awaited() -> None:
    thread = LoopThread(Content)
    thread.close()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError, match=r"closed already; run slot/1.* find\('slot/1'\)"):
            thread.call(thread.content.work(), run_id="slot/1")
        gc.collect()
    assert [str(one.message) for one in warned] == []


def test_a_call_from_the_loops_own_thread_is_refused() -> None:
    threads = LoopThreads(Content)
    refused: list[str] = []

    def from_callback(work: Callable[[], Any]) -> Coroutine[Any, Any, None]:
        async def call() -> None:
            try:
                work()
            except RuntimeError as error:
                refused.append(str(error))

        return call()

    thread = threads.here()
    thread.call(from_callback(lambda: threads.here().call(thread.content.work())))
    thread.call(from_callback(threads.close))
    assert len(refused) == 2
    assert all("called from a callback (emit, on_end)" in words for words in refused)
    assert threads.here() is thread
    threads.close()
    assert thread.content.seen == ["closed"]


def test_an_interrupt_before_the_call_has_begun_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = LoopThread(Content)
    work = thread.content.work()
    with monkeypatch.context() as patch:
        patch.setattr(thread, "require_other_thread", lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            thread.call(work)
    work.close()
    thread.close()
    assert thread.content.seen == ["closed"]


def test_a_callback_that_ends_the_program_ends_the_call_and_not_the_loop() -> None:
    thread = LoopThread(Content)

    async def leave() -> None:
        raise SystemExit(3)

    async def work() -> None:
        await asyncio.gather(leave())

    with pytest.raises(SystemExit) as left:
        thread.call(work())
    assert left.value.code == 3
    thread.close()
    assert thread.content.seen == ["closed"]
