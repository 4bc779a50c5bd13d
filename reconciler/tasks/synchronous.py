"""The same for code with threads, on top of the asynchronous one."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.invoke import OnBusy
from reconciler.machines_api.logs import LogLine
from reconciler.model.run import Outcome, RunInfo
from reconciler.targets import Target
from reconciler.tasks.arguments import (
    QUEUE_TIMEOUT,
    START_TIMEOUT,
    check_tasks,
    environment_of,
    named_target,
    shown_target,
)
from reconciler.tasks.async_run import AsyncRun, shown_run
from reconciler.tasks.asynchronous import AsyncTasks
from reconciler.tasks.loop_thread import LoopThread, LoopThreads


class Tasks:
    """The tasks of one app, for any number of threads; arguments as for AsyncTasks.

    A context manager. May be made before a server forks its workers: connections are opened on first use, anew in each
    process. An interrupt (Ctrl-C) ends a call once its clean-up is done; a second one no longer waits for that.
    """

    def __init__(
        self,
        app: str,
        *,
        target: Target | str | None = None,
        token: str | None = None,
        environment: Mapping[str, str] | None = None,
        url: str | None = None,
        logs_url: str | None = None,
        stack: str | None = None,
        who: str | None = None,
        paced: bool | None = None,
        log_delay_s: float | None = None,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:
        check_tasks(
            app,
            target=target,
            token=token,
            environment=environment,
            url=url,
            logs_url=logs_url,
            stack=stack,
            who=who,
            paced=paced,
            log_delay_s=log_delay_s,
            lost_after_s=lost_after_s,
        )
        self._app = app
        self._target_name = shown_target(named_target(target, url, token), environment_of(environment))
        self._threads = LoopThreads(
            lambda: AsyncTasks(
                app,
                target=target,
                token=token,
                environment=environment,
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
        environment: Mapping[str, str] | None = None,
        *,
        target: str | None = None,
        stack: str | None = None,
        lost_after_s: float = LOST_AFTER_S,
    ) -> Self:
        """Find the target in the environment, as the constructor does without a token."""
        return cls(app, target=target, environment=environment, stack=stack, lost_after_s=lost_after_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(app={self._app!r}, target={self._target_name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the calls under way in other threads, and close the connections.

        Runs go on.
        """
        self._threads.close()

    def invoke(
        self,
        task: str,
        *,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        key: str | None = None,
        on_busy: OnBusy | str = OnBusy.WAIT,
        queue_timeout: str | float = QUEUE_TIMEOUT,
        start_timeout: str | float = START_TIMEOUT,
        timeout: str | float | None = None,
        queue_timeout_s: float | None = None,
        start_timeout_s: float | None = None,
        timeout_s: float | None = None,
    ) -> "Run":
        """Start one run, and return once it has started; see AsyncTasks.invoke."""
        thread = self._threads.here()
        started = thread.content.invoke(
            task,
            args=args,
            env=env,
            key=key,
            on_busy=on_busy,
            queue_timeout=queue_timeout,
            start_timeout=start_timeout,
            timeout=timeout,
            queue_timeout_s=queue_timeout_s,
            start_timeout_s=start_timeout_s,
            timeout_s=timeout_s,
        )
        return Run(thread, thread.call(started))

    def find(self, run_id: str) -> "Run":
        """Return the run of this id, or whose id begins so, whoever started it.

        Raises UsageError if it is no longer retained, or if several runs' ids begin so.
        """
        thread = self._threads.here()
        return Run(thread, thread.call(thread.content.find(run_id)))

    def runs(
        self, task: str | None = None, *, since: datetime | timedelta | None = None, failed: bool = False
    ) -> list[RunInfo]:
        """Return the retained runs of `task`, or of all tasks, newest first.

        With `since` only those that go on, or began since then, or at most so long ago; with `failed` only those that
        failed or never started.
        """
        thread = self._threads.here()
        return thread.call(thread.content.runs(task, since=since, failed=failed))


class Run:
    """One run, for any thread; see AsyncRun.

    Raises RuntimeError once its Stack or Tasks is closed; then another one gets it by its id.
    """

    def __init__(self, thread: LoopThread[Any], run: AsyncRun) -> None:
        self._thread = thread
        self._run = run

    def __repr__(self) -> str:
        return shown_run(type(self).__name__, self.info)

    @property
    def id(self) -> str:
        """Return `<slot>/<ULID>`, as `find`, `wait`, `logs` and `cancel` take it."""
        return self._run.id

    @property
    def info(self) -> RunInfo:
        """Return the run as it was last seen."""
        return self._run.info

    def wait(self, timeout: str | float | None = None, *, timeout_s: float | None = None) -> Outcome:
        """Return how it ended: a failed run is a value. Raises TimeoutError.

        See AsyncRun.wait.
        """
        return self._thread.call(self._run.wait(timeout, timeout_s=timeout_s), run_id=self.id)

    def check(self, timeout: str | float | None = None) -> Outcome:
        """Return how it ended, as `wait` does. Raises RunFailedError unless it succeeded."""
        return self._thread.call(self._run.check(timeout), run_id=self.id)

    def logs(self) -> Iterator[LogLine]:
        """Yield each line of its output, from its start to its end, as it comes."""
        lines = self._run.logs()

        async def next_line() -> LogLine | None:
            return await anext(lines, None)

        async def close() -> None:
            await lines.aclose()  # type: ignore[attr-defined]

        try:
            while (line := self._thread.call(next_line(), run_id=self.id)) is not None:
                yield line
        finally:
            if not self._thread.is_closed:  # which closes what is read there too
                self._thread.call(close())

    def cancel(self) -> bool:
        """End it by its stop signal, then the kill, and wait. False if it was over."""
        return self._thread.call(self._run.cancel(), run_id=self.id)
