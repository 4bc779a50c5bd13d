"""The same for code with threads: a thin face over the asynchronous one, whose event loop has a thread of its own."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.invoke import OnBusy
from reconciler.machines_api.logs import LogLine
from reconciler.machines_api.urls import FLY_API_URL
from reconciler.model.run import Outcome, RunInfo
from reconciler.tasks.async_run import AsyncRun
from reconciler.tasks.asynchronous import AsyncTasks

T = TypeVar("T")


class _Portal:
    """An event loop in a daemon thread, and the AsyncTasks that lives on it."""

    def __init__(self, make: Callable[[], AsyncTasks]) -> None:
        self.pid = os.getpid()
        self.tasks = make()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reconciler-tasks", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises; an interrupt of the caller cancels it."""
        if self.pid != os.getpid():
            work.close()
            raise RuntimeError("this run was begun in another process; get it by its id: tasks.find(run.id)")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self.call(self.tasks.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Tasks:
    """The tasks of one app, for any number of threads at once. A context manager; arguments as for AsyncTasks.

    May be made before a server forks its workers: connections are opened on first use, anew in each process.
    """

    def __init__(
        self,
        app: str,
        *,
        token: str | None,
        url: str = FLY_API_URL,
        logs_url: str | None = None,
        stack: str | None = None,
        who: str = "a program",
        paced: bool = False,
        log_delay_s: float = 3.0,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:
        self._open(
            lambda: AsyncTasks(
                app,
                token=token,
                url=url,
                logs_url=logs_url,
                stack=stack,
                who=who,
                paced=paced,
                log_delay_s=log_delay_s,
                lost_after_s=lost_after_s,
            )
        )

    @classmethod
    def from_environment(
        cls,
        app: str,
        environment: Mapping[str, str],
        *,
        target: str | None = None,
        stack: str | None = None,
        lost_after_s: float = LOST_AFTER_S,
    ) -> Self:
        """As the command line finds its target, in `os.environ` for example. Raises TargetError on first use."""
        tasks = cls.__new__(cls)
        tasks._open(
            lambda: AsyncTasks.from_environment(app, environment, target=target, stack=stack, lost_after_s=lost_after_s)
        )
        return tasks

    def _open(self, make: Callable[[], AsyncTasks]) -> None:
        self._make = make
        self._portal: _Portal | None = None
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; runs go on."""
        with self._opening:
            portal, self._portal = self._portal, None
        if portal is not None and portal.pid == os.getpid():
            portal.close()

    def invoke(
        self,
        task: str,
        *,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        key: str | None = None,
        on_busy: OnBusy | str = OnBusy.WAIT,
        queue_timeout_s: float = 600.0,
        start_timeout_s: float = 60.0,
        timeout_s: float | None = None,
    ) -> "Run":
        """Starts one run, and returns once it has started; see AsyncTasks.invoke."""
        portal = self._portal_here()
        started = portal.tasks.invoke(
            task,
            args=args,
            env=env,
            key=key,
            on_busy=on_busy,
            queue_timeout_s=queue_timeout_s,
            start_timeout_s=start_timeout_s,
            timeout_s=timeout_s,
        )
        return Run(portal, portal.call(started))

    def find(self, run_id: str) -> "Run":
        """The run of this id, whoever started it. Raises UsageError where it is no longer told of."""
        portal = self._portal_here()
        return Run(portal, portal.call(portal.tasks.find(run_id)))

    def runs(self, task: str | None = None) -> list[RunInfo]:
        """The runs of the task, or of all, that are still told of, newest first."""
        portal = self._portal_here()
        return portal.call(portal.tasks.runs(task))

    def _portal_here(self) -> _Portal:
        with self._opening:
            if self._portal is None or self._portal.pid != os.getpid():
                self._portal = _Portal(self._make)
            return self._portal


class Run:
    """One run, for any thread; see AsyncRun."""

    def __init__(self, portal: _Portal, run: AsyncRun) -> None:
        self._portal = portal
        self._run = run

    @property
    def id(self) -> str:
        """`<slot>/<ULID>`: what `find`, and the commands `wait`, `logs` and `cancel` take."""
        return self._run.id

    @property
    def info(self) -> RunInfo:
        """The run as it was last seen."""
        return self._run.info

    def wait(self, timeout_s: float | None = None) -> Outcome:
        """How it ended: a failed run is a value. Raises TimeoutError after `timeout_s`; see AsyncRun.wait."""
        return self._portal.call(self._run.wait(timeout_s))

    def logs(self) -> Iterator[LogLine]:
        """Each line of its output, from its start to its end, as it comes."""
        lines = self._run.logs()

        async def next_line() -> LogLine | None:
            return await anext(lines, None)

        async def close() -> None:
            await lines.aclose()  # type: ignore[attr-defined]

        try:
            while (line := self._portal.call(next_line())) is not None:
                yield line
        finally:
            self._portal.call(close())

    def cancel(self) -> bool:
        """Ends it by its stop signal, then the kill, and waits for its end. False where it was over already."""
        return self._portal.call(self._run.cancel())
