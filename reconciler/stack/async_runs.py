"""The runs of a stack for asyncio code, its machines and leases."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from reconciler.invoke.invoke import OnBusy, begin
from reconciler.invoke.runs import FoundRun
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.operations.invoke import find_invocable
from reconciler.operations.load import find_task
from reconciler.operations.named_runs import find_named_run
from reconciler.operations.runs import ListedRuns, list_all_runs, selected_runs
from reconciler.operations.session import Session
from reconciler.operations.status import StackStatus, status
from reconciler.operations.unlock import Unlocked, unlock
from reconciler.stack import arguments
from reconciler.stack.connection import Connection
from reconciler.tasks.arguments import QUEUE_TIMEOUT, START_TIMEOUT, check_flag, check_since, check_text, options_of
from reconciler.tasks.async_run import AsyncRun, run_begun
from reconciler.tasks.library_words import spoken_by_methods


@spoken_by_methods
class AsyncStackRuns:
    """The part of `AsyncStack` that is about what is there."""

    spec: Spec
    _connection: Connection
    _lost_after_s: float

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
        """Start one run of the task, and return once it has started.

        `args` replace the task's own and `env` sets variables, if the spec's `overrides` allow it. Of all calls with
        one `key` the first starts the run, and the others return that run. Durations are seconds, or text like
        10m: `queue_timeout` to wait for a free machine, `start_timeout` for the start of the run, `timeout` for its
        end; None is the task's own. Names with `_s` are older ones, for seconds alone. Raises NotStartedError if no
        run started, UsageError if the spec has no such task or refuses the override, and TypeError or ValueError for
        an argument of the wrong type or value.
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
        pool = find_invocable(self.spec, task, options.override)
        session = await self._connection.open()
        begun = await begin(session.context, pool, stack=self.spec.stack, options=options)
        found = run_begun(session.context, begun, timeout_s=options.timeout_s or pool.run_policy.timeout_s)
        return self._run(session, found)

    async def find(self, run_id: str) -> AsyncRun:
        """Return the run of this id, or whose id begins so.

        Raises UsageError if it is no longer retained, or if several runs' ids begin so.
        """
        check_text("run_id", run_id)
        session = await self._connection.open()
        return self._run(session, await find_named_run(session.context, self.spec, run_id))

    async def runs(
        self, task: str | None = None, *, since: datetime | timedelta | None = None, failed: bool = False
    ) -> ListedRuns:
        """List retained runs of the task or all, newest first by app. Raises UsageError.

        With `since` only those that go on, or began since then, or at most so long ago; with `failed` only those that
        failed or never started.
        """
        check_since(since)
        check_flag("failed", failed)
        if task is not None:
            find_task(self.spec, task)
        context = (await self._connection.open()).context
        listed = await list_all_runs(context, self.spec, task)
        runs = selected_runs(listed.runs, now=context.clock.now(), since=since, only_failed=failed)
        return replace(listed, runs=runs)

    async def unlock(self) -> Unlocked:
        """Release leases of this user's dead processes on this host; return all found."""
        return await unlock((await self._connection.open()).context, self.spec)

    async def status(
        self, *, only: Collection[str] = (), exclude: Collection[str] = (), regions: Collection[str] = ()
    ) -> StackStatus:
        """Return the state of all slots and other machines. Raises if no app can be read."""
        selection = self._select(only, exclude, regions)
        return await status(await self._connection.open(), self.spec, selection=selection)

    def _select(self, only: Any, exclude: Any, regions: Any, *others: Spec) -> Selection:
        """Check the names of pools and regions, and return what they select."""
        return arguments.check_selection(self.spec, only, exclude, regions, *others)

    def _run(self, session: Session, found: FoundRun) -> AsyncRun:
        delay_s = session.target.log_delay_s
        return AsyncRun(session.context, found, log_delay_s=delay_s, lost_after_s=self._lost_after_s)
