"""Invoke tasks from asyncio code, by app and task name.

What the YAML said is read from the machines' marks.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Self

import httpx
from msgspec.structs import replace

from reconciler.clock import Clock
from reconciler.errors import UsageError
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.invoke import OnBusy, begin
from reconciler.invoke.listing import list_pool
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.runs import FoundRun, find_run, list_runs, tasks_of
from reconciler.model.config import MachineConfig
from reconciler.model.local_engine import LocalEngine
from reconciler.model.machine import MachineState
from reconciler.model.run import RunInfo
from reconciler.model.run_policy import RunPolicy
from reconciler.model.spec import Pool, PoolKind
from reconciler.operations.runs import selected_runs
from reconciler.operations.session import Session, open_session
from reconciler.slots.context import Context, Emit
from reconciler.targets import Target, resolve_target, who_asks
from reconciler.tasks.arguments import (
    QUEUE_TIMEOUT,
    START_TIMEOUT,
    check_flag,
    check_since,
    check_tasks,
    check_text,
    environment_of,
    named_target,
    options_of,
    shown_target,
    with_token,
)
from reconciler.tasks.async_run import AsyncRun, listed_in_time, run_begun
from reconciler.tasks.callbacks import harmless
from reconciler.tasks.library_words import of_message, spoken_by_methods
from reconciler.tasks.own_session import Opening, OwnSession

_NOBODY: Final = "a program"  # who holds leases, where the caller says it of itself by a token


@spoken_by_methods
class AsyncTasks:
    """The tasks of one app: an async context manager for one event loop.

    Target and token are found in the environment, as the command does, at the first call: then every method may raise
    TargetError. `target` is fly, local, the URL of a Machines API, or a Target. A `token` of your own without a target
    is for Fly, or for the API at `url`; with `url` nothing is taken from the environment.

    Any number of invokes may go on at once. `stack` is needed only if several stacks have a task of one name in the
    app. `emit` gets progress, also waits for a rate limit. Every method raises ApiError if the API fails. The spec is
    not read: the machines know what the task is. If the API gives no usable answer for `lost_after_s` while a run goes
    on, the run is given up. What `emit` raises is logged and changes nothing. On another event loop than that of the
    first call RuntimeError is raised, until it is closed. `logs_url`, `who`, `paced`, `log_delay_s` and `local` say of
    an API at `url` what is known of a target: where its logs are, who holds its leases, whether its rates are kept to,
    how late its log lines come, and that it is the local engine.
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
        emit: Emit | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        local: LocalEngine | None = None,
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
            emit=emit,
        )
        own = with_token(environment_of(environment), token)
        named = named_target(target, url, token)
        self._target_name = shown_target(named, own)

        async def enter(closing: AsyncExitStack) -> Session:
            found = named if isinstance(named, Target) else await asyncio.to_thread(resolve_target, own, named)
            known: dict[str, Any] = {
                "logs_url": logs_url,
                "is_paced": paced,
                "log_delay_s": log_delay_s,
                "local": local,
            }
            found = replace(found, **{name: value for name, value in known.items() if value is not None})
            by = who or (who_asks(own) if named is target else _NOBODY)
            said = harmless("emit", emit, of_message)
            opening = open_session(found, {}, emit=said, who=by, clock=clock, transport=transport)
            return await closing.enter_async_context(opening)

        self._session = OwnSession(partial(Opening, enter))
        self._app = app
        self._stack = stack
        self._lost_after_s = lost_after_s
        self._forget()

    def _forget(self) -> None:
        self._known: dict[str, KnownPool] = {}
        self._finding = asyncio.Lock()
        self._turns: dict[str, asyncio.Semaphore] = {}

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
        """Find the target in the environment now, and not at the first call.

        By default it is the process's environment. Raises TargetError.
        """
        environment = environment_of(environment)
        found = resolve_target(environment, target)
        return cls(app, target=found, environment=environment, stack=stack, lost_after_s=lost_after_s)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(app={self._app!r}, target={self._target_name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; runs go on. The next call opens them again."""
        await self._session.close()
        self._forget()

    async def invoke(
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
    ) -> AsyncRun:
        """Start one run, and return once it has started.

        `args` replace the task's own and `env` sets variables, if the spec's `overrides` allow it. Of all calls with
        one `key` the first starts the run, and the others return that one. Durations are
        seconds, or text like 10m: `queue_timeout` to wait for a free machine, `start_timeout` for the start of the run,
        `timeout` for its end; None is the task's own. Names with `_s` are older ones, for seconds alone. Raises
        NotStartedError if no run started, UsageError if the app has no such task, and TypeError or ValueError, before
        any call, for an argument of the wrong type or value.
        """
        options = options_of(
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
            lost_after_s=self._lost_after_s,
        )
        session = await self._session.open()
        known = await listed_in_time(self._pool(session.context, task), task, options)
        policy = known.run_policy or RunPolicy()
        begun = await begin(
            session.context,
            _pool_of_marks(self._app, task, policy),
            stack=known.stack,
            options=options,
            known=known,
            turn=self._turns[task],
        )
        found = run_begun(session.context, begun, timeout_s=options.timeout_s or policy.timeout_s)
        return self._run(session, found, on_end=_freed(known, found))

    async def find(self, run_id: str) -> AsyncRun:
        """Return the run of this id, or whose id begins so, whoever started it.

        Raises UsageError if it is no longer retained, or if several runs' ids begin so.
        """
        check_text("run_id", run_id)
        session = await self._session.open()
        found = await find_run(session.context, self._app, run_id, stack=self._stack)
        if found is None:
            raise UsageError(
                f"there is no run {run_id}, or it is no longer retained", hint="`runs()` has those that are"
            )
        return self._run(session, found)

    async def runs(
        self, task: str | None = None, *, since: datetime | timedelta | None = None, failed: bool = False
    ) -> list[RunInfo]:
        """Return the retained runs of `task`, or of all tasks, newest first.

        With `since` only those that go on, or began since then, or at most so long ago; with `failed` only those that
        failed or never started.
        """
        check_text("task", task or "")
        check_since(since)
        check_flag("failed", failed)
        session = await self._session.open()
        found = await list_runs(session.context, self._app, stack=self._stack, task=task)
        infos = (run.info for run in found)
        return [*selected_runs(infos, now=session.context.clock.now(), since=since, only_failed=failed)]

    def _run(self, session: Session, found: FoundRun, *, on_end: Callable[[], None] = lambda: None) -> AsyncRun:
        delay_s = session.target.log_delay_s
        return AsyncRun(session.context, found, log_delay_s=delay_s, lost_after_s=self._lost_after_s, on_end=on_end)

    async def _pool(self, context: Context, task: str) -> KnownPool:
        """Return what is known of the task's machines; they are listed once.

        A task that was not there may be there now.
        """
        async with self._finding:
            if task not in self._known or not self._known[task].machines:
                self._known[task] = await self._find_pool(context, task)
            return self._known[task]

    async def _find_pool(self, context: Context, task: str) -> KnownPool:
        began = context.clock.monotonic()
        listed = await list_pool(context, self._app, stack=self._stack, pool=task)
        owners = tasks_of(listed, self._stack)
        stacks = sorted(owners.get(task, ()))
        if not stacks:
            names = ", ".join(sorted(owners)) or "none"
            raise UsageError(
                f"app {self._app} has no task {task!r}", hint=f"its tasks: {names}; `reconciler apply` makes more"
            )
        if len(stacks) > 1:
            raise UsageError(f"several stacks have a task {task!r}: {', '.join(stacks)}", hint="say which with `stack`")
        known = KnownPool(app=self._app, pool=task, stack=stacks[0])
        known.take(listed, began=began, now=context.clock.monotonic())
        self._turns[task] = asyncio.Semaphore(max(1, len(known.machines)))
        return known


def _pool_of_marks(app: str, task: str, policy: RunPolicy) -> Pool:
    """Return the task as its machines tell it; their config stays as it is."""
    return Pool(app=app, name=task, kind=PoolKind.TASK, counts={}, config=MachineConfig(document={}), run_policy=policy)


def _freed(known: KnownPool, found: FoundRun) -> Callable[[], None]:
    """Return what notes that a run's machine is free, so that no list is needed."""

    def see() -> None:
        machine = next((one for one in known.machines if one.id == found.machine.id), None)
        if machine is not None:
            known.see(replace(machine, state=MachineState.STOPPED))

    return see
