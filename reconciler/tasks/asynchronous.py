"""Invoke tasks from asyncio code, by app and task name.

What the YAML said is read from the machines' marks.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self

import httpx

from reconciler.clock import Clock
from reconciler.errors import UsageError
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.invoke import OnBusy, begin
from reconciler.invoke.listing import list_pool
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.runs import FoundRun, find_run, list_runs, tasks_of
from reconciler.machines_api.access import FLY_API_URL
from reconciler.model.config import MachineConfig
from reconciler.model.local_engine import LocalEngine
from reconciler.model.machine import MachineState
from reconciler.model.run import RunInfo
from reconciler.model.run_policy import RunPolicy
from reconciler.model.secret import Secret
from reconciler.model.spec import Pool, PoolKind
from reconciler.operations.session import Session, open_session
from reconciler.slots.context import Context, Emit
from reconciler.targets import Target, resolve_target, who_asks
from reconciler.tasks.arguments import check_tasks, check_text, environment_of, options_of
from reconciler.tasks.async_run import AsyncRun, run_begun
from reconciler.tasks.callbacks import harmless
from reconciler.tasks.library_words import of_message, spoken_by_methods
from reconciler.tasks.own_session import OwnSession


@spoken_by_methods
class AsyncTasks:
    """The tasks of one app: an async context manager for one event loop.

    Any number of invokes may go on at once. `token` is a Machines API token, `url` the API's, `logs_url` that of its
    logs if it is another. `stack` is needed only if several stacks have a task of one name in the app. `emit` gets
    progress, also waits for a rate limit. Every method raises ApiError if the API fails. The spec is not read: the
    machines know what the task is. `local` is given if the API is the local engine's. If the API gives no usable answer
    for `lost_after_s` while a run goes on, the run is given up. What `emit` raises is logged and changes nothing. On
    another event loop than that of the first call RuntimeError is raised, until it is closed.
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
        emit: Emit | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        local: LocalEngine | None = None,
    ) -> None:
        check_tasks(
            app,
            token=token,
            url=url,
            logs_url=logs_url,
            stack=stack,
            who=who,
            paced=paced,
            log_delay_s=log_delay_s,
            lost_after_s=lost_after_s,
            emit=emit,
        )
        base_url = url.removesuffix("/").removesuffix("/v1")
        target = Target(
            name=url,
            base_url=base_url,
            logs_url=logs_url or base_url,
            token=Secret(token) if token else None,
            is_paced=paced,
            log_delay_s=log_delay_s,
            local=local,
        )
        self._session = OwnSession(
            lambda: open_session(
                target, {}, emit=harmless("emit", emit, of_message), who=who, clock=clock, transport=transport
            )
        )
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
        """Find the target in the environment, as the command does.

        By default it is the process's environment. Raises TargetError.
        """
        environment = environment_of(environment)
        found = resolve_target(environment, target)
        return cls(
            app,
            token=found.token.reveal() if found.token else None,
            url=found.base_url,
            logs_url=found.logs_url,
            stack=stack,
            who=who_asks(environment),
            paced=found.is_paced,
            log_delay_s=found.log_delay_s,
            lost_after_s=lost_after_s,
            local=found.local,
        )

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
        queue_timeout_s: float = 600.0,
        start_timeout_s: float = 60.0,
        timeout_s: float | None = None,
    ) -> AsyncRun:
        """Start one run, and return once it has started; durations are in seconds.

        `args` replace the task's own and `env` sets variables, if the spec's `overrides` allow it. Of all calls with
        one `key` the first starts the run, and the others return that one. `timeout_s` None is the task's own. Raises
        NotStartedError if no run started, UsageError if the app has no such task, and TypeError or ValueError, before
        any call, for an argument of the wrong type or value.
        """
        options = options_of(
            task,
            args=args,
            env=env,
            key=key,
            on_busy=on_busy,
            queue_timeout_s=queue_timeout_s,
            start_timeout_s=start_timeout_s,
            timeout_s=timeout_s,
            lost_after_s=self._lost_after_s,
        )
        session = await self._session.open()
        known = await self._pool(session.context, task)
        policy = known.run_policy or RunPolicy()
        begun = await begin(
            session.context,
            _pool_of_marks(self._app, task, policy),
            stack=known.stack,
            options=options,
            known=known,
            turn=self._turns[task],
        )
        found = run_begun(session.context, begun, timeout_s=timeout_s or policy.timeout_s)
        return self._run(session, found, on_end=_freed(known, found))

    async def find(self, run_id: str) -> AsyncRun:
        """Return the run of this id, whoever started it.

        Raises UsageError if it is no longer retained.
        """
        check_text("run_id", run_id)
        session = await self._session.open()
        found = await find_run(session.context, self._app, run_id, stack=self._stack)
        if found is None:
            raise UsageError(f"there is no run {run_id}, or it is no longer retained")
        return self._run(session, found)

    async def runs(self, task: str | None = None) -> list[RunInfo]:
        """Return the retained runs of `task`, or of all tasks, newest first."""
        check_text("task", task or "")
        session = await self._session.open()
        found = await list_runs(session.context, self._app, stack=self._stack, task=task)
        return [run.info for run in found]

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
