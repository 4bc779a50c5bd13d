"""Invoking tasks from asyncio code, by app and task name: what the YAML said is read from the machines' marks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self

from reconciler.clock import Clock, SystemClock
from reconciler.errors import NotStartedError, UsageError
from reconciler.http import httpx
from reconciler.invoke.claimant import Claim, Unconfirmed
from reconciler.invoke.invoke import OnBusy, begin
from reconciler.invoke.known import KnownPool
from reconciler.invoke.logs import LogReader
from reconciler.invoke.outcome import lost_from_sight
from reconciler.invoke.runs import (
    FoundRun,
    cancel_run,
    claim_of,
    find_run,
    list_runs,
    read_run_logs,
    run_of_claim,
    tasks_of,
    wait_run,
)
from reconciler.machines_api.client import LogLine, MachinesClient
from reconciler.machines_api.endpoints import FLY_API_URL
from reconciler.model.config import MachineConfig
from reconciler.model.machine import MachineState
from reconciler.model.run import Outcome, RunInfo, RunState
from reconciler.model.secret import Secret
from reconciler.model.spec import Pool, PoolKind
from reconciler.model.terms import Terms
from reconciler.slots.actor import Actor, Emit, emit_nothing
from reconciler.targets import resolve_target, who_asks
from reconciler.tasks.arguments import options_of


class AsyncTasks:
    """The tasks of one app. An async context manager, for one event loop; any number of invokes at once.

    `token` is a Machines API token, `url` that of the API, `logs_url` that of its logs where it is another. `stack` is
    needed only where several stacks have a task of one name in the app. Every method raises ApiError where the API
    fails. The spec is not read: what a task is, was applied to its machines.
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
        emit: Emit = emit_nothing,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        clock = clock or SystemClock()
        client = MachinesClient(
            base_url=url.removesuffix("/").removesuffix("/v1"),
            token=Secret(token) if token else None,
            clock=clock,
            logs_url=logs_url,
            paced=paced,
            transport=transport,
        )
        self._actor = Actor(client=client, clock=clock, who=who, emit=emit)
        self._app = app
        self._stack = stack
        self._log_delay_s = log_delay_s
        self._known: dict[str, KnownPool] = {}
        self._finding = asyncio.Lock()
        self._turns: dict[str, asyncio.Semaphore] = {}

    @classmethod
    def from_environment(
        cls, app: str, environment: Mapping[str, str], *, target: str | None = None, stack: str | None = None
    ) -> Self:
        """As the command line finds its target, in `os.environ` for example. Raises TargetError."""
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
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; runs go on."""
        await self._actor.client.aclose()

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
    ) -> "AsyncRun":
        """Starts one run, and returns once it has started; durations in seconds.

        `args` replace the task's own and `env` sets variables, where the spec's `overrides` allow it. Of all calls with
        one `key` the first starts the run, and the others return that one. `timeout_s` None is the task's own. Raises
        NotStartedError where no run started, UsageError where the app has no such task, and TypeError or ValueError,
        before any call, for an argument of the wrong type or value.
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
        )
        known = await self._pool(task)
        terms = known.terms or Terms()
        begun = await begin(
            self._actor,
            _pool_of_marks(self._app, task, terms),
            stack=known.stack,
            options=options,
            known=known,
            turn=self._turns[task],
        )
        if isinstance(begun, Outcome):
            raise NotStartedError(begun)
        if isinstance(begun, Unconfirmed):
            raise NotStartedError(lost_from_sight(begun.run_id, begun.why), run_id=begun.run_id)
        found = begun
        if isinstance(begun, Claim):
            found = run_of_claim(begun, self._actor, timeout_s=timeout_s or terms.timeout_s)
        assert isinstance(found, FoundRun)
        return AsyncRun(self._actor, found, log_delay_s=self._log_delay_s, on_end=_freed(known, found))

    async def find(self, run_id: str) -> "AsyncRun":
        """The run of this id, whoever started it. Raises UsageError where it is no longer told of."""
        found = await find_run(self._actor, self._app, run_id, stack=self._stack)
        if found is None:
            raise UsageError(f"there is no run {run_id}, or it is no longer told of")
        return AsyncRun(self._actor, found, log_delay_s=self._log_delay_s)

    async def runs(self, task: str | None = None) -> list[RunInfo]:
        """The runs of the task, or of all, that are still told of, newest first."""
        found = await list_runs(self._actor, self._app, stack=self._stack, task=task)
        return [run.info for run in found]

    async def _pool(self, task: str) -> KnownPool:
        """What is known of the task's machines; asked for once. A task that was not there may be by now."""
        async with self._finding:
            if task not in self._known or not self._known[task].machines:
                self._known[task] = await self._find_pool(task)
            return self._known[task]

    async def _find_pool(self, task: str) -> KnownPool:
        began = self._actor.clock.monotonic()
        listed = await self._actor.client.list_machines(self._app) or ()
        owners = tasks_of(listed, self._stack)
        stacks = sorted(owners.get(task, ()))
        if not stacks:
            names = ", ".join(sorted(owners)) or "none"
            raise UsageError(f"app {self._app} has no task {task!r}", hint=f"its tasks: {names}; `reconciler apply`")
        if len(stacks) > 1:
            raise UsageError(f"several stacks have a task {task!r}: {', '.join(stacks)}", hint="say which with `stack`")
        known = KnownPool(app=self._app, pool=task, stack=stacks[0])
        known.take(listed, began=began, now=self._actor.clock.monotonic())
        self._turns[task] = asyncio.Semaphore(max(1, len(known.machines)))
        return known


class AsyncRun:
    """One run. It goes on whether or not anyone waits for it; its `timeout` is kept by whoever does."""

    def __init__(
        self,
        actor: Actor,
        found: FoundRun,
        *,
        log_delay_s: float,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._actor = actor
        self._found = found
        self._log_delay_s = log_delay_s
        self._on_end = on_end
        self._ending: asyncio.Task[RunInfo] | None = None

    @property
    def id(self) -> str:
        """`<slot>/<ULID>`: what `find`, and the commands `wait`, `logs` and `cancel` take."""
        return self._found.info.id

    @property
    def info(self) -> RunInfo:
        """The run as it was last seen."""
        return self._found.info

    async def wait(self, timeout_s: float | None = None) -> Outcome:
        """How it ended: a failed run is a value. Raises TimeoutError after `timeout_s`; the run goes on then."""
        async with asyncio.timeout(timeout_s):
            info = await self._ended()
        assert info.outcome is not None, "a run that has ended has an outcome"
        return info.outcome

    async def logs(self) -> AsyncIterator[LogLine]:
        """Each line of its output, from its start to its end, as it comes; of a run that has ended, all of them."""
        lines: asyncio.Queue[LogLine | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(lines.put_nowait))
        reading.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield line
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(reading, return_exceptions=True)

    async def cancel(self) -> bool:
        """Ends it by its stop signal, then the kill, and waits for its end. False where it was over already."""
        was_running = await cancel_run(self._actor, self._found)
        await self._ended()
        return was_running

    async def _ended(self) -> RunInfo:
        """Its end, waited for once however many wait, and not given up where one of them does."""
        if self._ending is None or (self._ending.done() and (self._ending.cancelled() or self._ending.exception())):
            self._ending = asyncio.create_task(wait_run(self._actor, self._found))
        info = await asyncio.shield(self._ending)
        if self._found.info.state is RunState.RUNNING:
            self._found = replace(self._found, info=info)
            self._on_end()
        return info

    async def _read(self, take: Callable[[LogLine], None]) -> None:
        if self._found.info.state is not RunState.RUNNING:
            await read_run_logs(self._actor, self._found, take, log_delay_s=self._log_delay_s)
            return
        reader = LogReader(self._actor, claim_of(self._found), take, drain_s=self._log_delay_s)
        streaming = asyncio.create_task(reader.stream())
        try:
            await self._ended()
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
        await reader.drain()


def _pool_of_marks(app: str, task: str, terms: Terms) -> Pool:
    """The task as far as its machines tell; its config is theirs, and is not declared anew."""
    return Pool(app=app, name=task, kind=PoolKind.TASK, counts={}, config=MachineConfig(document={}), terms=terms)


def _freed(known: KnownPool, found: FoundRun) -> Callable[[], None]:
    """What the end of a run says of its machine: worth a try, without a list first."""

    def see() -> None:
        machine = next((one for one in known.machines if one.id == found.machine.id), None)
        if machine is not None:
            known.see(replace(machine, state=MachineState.STOPPED))

    return see
