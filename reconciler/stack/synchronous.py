"""The same for code with threads: a thin face over the asynchronous one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from os import PathLike
from typing import Self

from reconciler.apply.options import DEFAULT_LOCK_TIMEOUT_S, DEFAULT_PARALLELISM
from reconciler.images.builds import BuiltImage
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.queue import OnBusy
from reconciler.model.apply_event import ApplyEvent
from reconciler.model.plan import Plan, SavedPlan
from reconciler.model.report import Entry, Report
from reconciler.model.spec import Spec
from reconciler.operations.runs import ListedRuns
from reconciler.operations.status import StackStatus
from reconciler.operations.unlock import Unlocked
from reconciler.slots.context import Emit
from reconciler.stack.arguments import check_stack
from reconciler.stack.asynchronous import AsyncStack
from reconciler.stack.ends import StackEnds
from reconciler.stack.sources import load_spec
from reconciler.targets import Target
from reconciler.tasks.arguments import QUEUE_TIMEOUT, START_TIMEOUT, shown_target
from reconciler.tasks.loop_thread import LoopThreads
from reconciler.tasks.synchronous import Run


class Stack(StackEnds):
    """The stack of a spec, on a target, for any number of threads.

    It is a context manager. The arguments are those of AsyncStack. `emit`, `on_end` and `on_event` are called in this
    stack's own thread, and its calls wait for them: a call of the stack from there raises RuntimeError. An interrupt
    (Ctrl-C) ends a call once its clean-up is done. A second one ends it at once.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        target: Target | str | None = None,
        token: str | None = None,
        environment: Mapping[str, str] | None = None,
        emit: Emit | None = None,
        lost_after_s: float = LOST_AFTER_S,
    ) -> None:
        own = check_stack(
            spec, target=target, token=token, environment=environment, emit=emit, lost_after_s=lost_after_s
        )
        self.spec = spec
        self._target_name = shown_target(target, own)
        self._threads = LoopThreads(
            lambda: AsyncStack(
                spec, target=target, token=token, environment=environment, emit=emit, lost_after_s=lost_after_s
            )
        )

    @classmethod
    def from_file(
        cls,
        file: str | PathLike[str] | None = None,
        *,
        target: str | None = None,
        token: str | None = None,
        environment: Mapping[str, str] | None = None,
        app: str | None = None,
        overlays: Sequence[str | PathLike[str]] = (),
        environment_name: str | None = None,
        emit: Emit | None = None,
        lost_after_s: float = LOST_AFTER_S,
    ) -> Self:
        """Return the stack of a file, see `load_spec`. Raises SpecError, UsageError."""
        spec = load_spec(
            file, environment=environment, target=target, app=app, overlays=overlays, environment_name=environment_name
        )
        return cls(spec, target=target, token=token, environment=environment, emit=emit, lost_after_s=lost_after_s)

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stack={self.spec.stack!r}, target={self._target_name!r})"

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the calls under way in other threads, and close the connections.

        Runs go on.
        """
        self._threads.close()

    def plan(
        self,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
        allow_destroy: int | None = None,
        adopt: bool = False,
        prune_clones: bool = False,
        revision: int | None = None,
        no_revision: bool = False,
    ) -> Plan:
        """Return what an apply would change; see AsyncStack.plan."""
        thread = self._threads.here()
        return thread.call(
            thread.content.plan(
                only=only,
                exclude=exclude,
                regions=regions,
                allow_destroy=allow_destroy,
                adopt=adopt,
                prune_clones=prune_clones,
                revision=revision,
                no_revision=no_revision,
            )
        )

    def save_plan(
        self,
        file: str | PathLike[str],
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
        allow_destroy: int | None = None,
        adopt: bool = False,
        prune_clones: bool = False,
        revision: int | None = None,
        no_revision: bool = False,
    ) -> SavedPlan:
        """Plan, and write the plan to a file; see AsyncStack.save_plan."""
        thread = self._threads.here()
        return thread.call(
            thread.content.save_plan(
                file,
                only=only,
                exclude=exclude,
                regions=regions,
                allow_destroy=allow_destroy,
                adopt=adopt,
                prune_clones=prune_clones,
                revision=revision,
                no_revision=no_revision,
            )
        )

    def apply(
        self,
        plan: Plan | SavedPlan | str | None = None,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
        allow_destroy: int | None = None,
        allow_rollback: bool = False,
        adopt: bool = False,
        prune_clones: bool = False,
        only_drift: bool = False,
        revision: int | None = None,
        no_revision: bool = False,
        wait_busy: str | float | None = None,
        lock_timeout: str | float = DEFAULT_LOCK_TIMEOUT_S,
        parallelism: int = DEFAULT_PARALLELISM,
        fail_fast: bool = False,
        on_end: Callable[[Entry], None] | None = None,
        on_event: Callable[[ApplyEvent], None] | None = None,
        wait_busy_s: float | None = None,
        lock_timeout_s: float | None = None,
    ) -> Report:
        """Make the spec true, or exactly this plan, and report how; see AsyncStack.apply."""
        thread = self._threads.here()
        return thread.call(
            thread.content.apply(
                plan,
                only=only,
                exclude=exclude,
                regions=regions,
                allow_destroy=allow_destroy,
                allow_rollback=allow_rollback,
                adopt=adopt,
                prune_clones=prune_clones,
                only_drift=only_drift,
                revision=revision,
                no_revision=no_revision,
                wait_busy=wait_busy,
                lock_timeout=lock_timeout,
                parallelism=parallelism,
                fail_fast=fail_fast,
                on_end=on_end,
                on_event=on_event,
                wait_busy_s=wait_busy_s,
                lock_timeout_s=lock_timeout_s,
            )
        )

    def drift(
        self, *, only: Collection[str] = (), exclude: Collection[str] = (), regions: Collection[str] = ()
    ) -> Plan:
        """Return what someone else changed since the last apply. Reads only."""
        thread = self._threads.here()
        return thread.call(thread.content.drift(only=only, exclude=exclude, regions=regions))

    def diff(
        self,
        old: Spec,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
    ) -> Plan:
        """Return what an apply of this spec would change after one of `old`. Offline."""
        thread = self._threads.here()
        return thread.call(thread.content.diff(old, only=only, exclude=exclude, regions=regions))

    def build(self, *, only: Collection[str] = (), builder: str | None = None) -> tuple[BuiltImage, ...]:
        """Build and push the spec's images that are not there yet; see AsyncStack.build."""
        thread = self._threads.here()
        return thread.call(thread.content.build(only=only, builder=builder))

    def unlock(self) -> Unlocked:
        """Release leases of this user's dead processes on this host; return all found."""
        thread = self._threads.here()
        return thread.call(thread.content.unlock())

    def status(
        self, *, only: Collection[str] = (), exclude: Collection[str] = (), regions: Collection[str] = ()
    ) -> StackStatus:
        """Return the state of each slot, and of what else is in the apps."""
        thread = self._threads.here()
        return thread.call(thread.content.status(only=only, exclude=exclude, regions=regions))

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
    ) -> Run:
        """Start one run of the task, and return once it has started.

        See AsyncStack.invoke.
        """
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

    def find(self, run_id: str) -> Run:
        """Return the run of this id, or whose id begins so.

        Raises UsageError if it is no longer retained, or if several runs' ids begin so.
        """
        thread = self._threads.here()
        return Run(thread, thread.call(thread.content.find(run_id)))

    def runs(
        self, task: str | None = None, *, since: datetime | timedelta | None = None, failed: bool = False
    ) -> ListedRuns:
        """List retained runs of the task or all, newest first by app. Raises UsageError.

        With `since` only those that go on, or began since then, or at most so long ago; with `failed` only those that
        failed or never started.
        """
        thread = self._threads.here()
        return thread.call(thread.content.runs(task, since=since, failed=failed))
