"""A stack for asyncio code: the commands as methods that return values."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Self

import httpx
from msgspec.structs import replace

from reconciler.apply.options import DEFAULT_LOCK_TIMEOUT_S, DEFAULT_PARALLELISM
from reconciler.clock import Clock
from reconciler.errors import BlockedError
from reconciler.images.builds import BuiltImage
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.model.apply_event import ApplyEvent
from reconciler.model.plan import Plan, SavedPlan
from reconciler.model.report import Entry, Report
from reconciler.model.spec import Spec
from reconciler.operations.apply import Proposal, propose_apply
from reconciler.operations.diff import diff
from reconciler.operations.drift import drift
from reconciler.operations.images import build_images
from reconciler.operations.load import reduced
from reconciler.operations.session import Session
from reconciler.slots.context import Emit
from reconciler.stack import arguments
from reconciler.stack.async_ends import AsyncStackEnds
from reconciler.stack.async_runs import AsyncStackRuns
from reconciler.stack.connection import Connection
from reconciler.stack.sources import load_spec
from reconciler.targets import Target
from reconciler.tasks.callbacks import harmless
from reconciler.tasks.library_words import of_message, spoken_by_methods


@spoken_by_methods
class AsyncStack(AsyncStackRuns, AsyncStackEnds):
    """The stack of a spec, on a target. An async context manager, for one event loop.

    `target` is fly, local, the URL of a Machines API, or a Target; by default what RECONCILER_TARGET says, else fly.
    `token` is used in place of the environment's, but ignored where the local engine or a Target has its own.
    `environment` is the process's own where it is None. The target is looked for at the first call: then every method
    may raise TargetError, and ApiError where the API fails. `emit` gets progress, a line each. An API that gives no
    usable answer for `lost_after_s` while a run goes on is given up. An argument of the wrong type or value raises
    TypeError or ValueError before any call. What `emit`, `on_end` or `on_event` raise is logged and changes nothing,
    unless it ends the program. On another event loop than that of the first call RuntimeError is raised, until it is
    closed.
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
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        own = arguments.check_stack(
            spec, target=target, token=token, environment=environment, emit=emit, lost_after_s=lost_after_s
        )
        self.spec = spec
        self._connection = Connection(
            target, token, own, emit=harmless("emit", emit, of_message), clock=clock, transport=transport
        )
        self._lost_after_s = lost_after_s

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; runs go on."""
        await self._connection.close()

    async def plan(
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
        """Return what an apply would change, as `reconciler plan` does. Reads only.

        `only` and `exclude` name pools, `regions` regions. `allow_destroy` allows the loss of that many machines.
        `adopt` takes over unmarked machines with a slot's name, `prune_clones` destroys clones made by hand. `revision`
        is that of the spec, by default the commit's; with `no_revision` it has none. The plan's `plan_sha256` is as
        there.
        """
        plan, _looked_up = await self._connection.plan(
            self.spec,
            selection=self._select(only, exclude, regions),
            allow_destroy=allow_destroy,
            revision=revision,
            no_revision=no_revision,
            adopt=adopt,
            prune_clones=prune_clones,
        )
        return plan

    async def save_plan(
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
        """Plan, and save the plan for a later `apply`, as `reconciler plan --out` does.

        A plan that only lacks `allow_destroy` is saved too, to be read. Raises BlockedError if it could not be applied
        for another reason, and UsageError if the file cannot be written.
        """
        path = Path(fspath(file))
        plan, looked_up = await self._connection.plan(
            self.spec,
            selection=self._select(only, exclude, regions),
            allow_destroy=allow_destroy,
            revision=revision,
            no_revision=no_revision,
            adopt=adopt,
            prune_clones=prune_clones,
        )
        if not plan.is_reviewable:
            raise BlockedError("; ".join(plan.blocked))
        return await self._connection.save(
            plan,
            looked_up,
            path,
            selection=plan.selection,
            adopt=adopt,
            prune_clones=prune_clones,
            allow_destroy=allow_destroy,
        )

    async def apply(
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
        """Make the spec true, and report what is. The call is the consent.

        With `plan` only what is left of that is applied: a plan of this stack made with the same arguments, its hash,
        the set of its changes (`sha256:…+CHANGE,CHANGE`), or a saved one (`read_plan`), which brings its arguments. A
        hash or a set needs a `revision`, or `no_revision`. `wait_busy` is how long to wait for runs in progress (None:
        not at all), `lock_timeout` for a lease: seconds, or text like 10m. `on_end` gets each change that ended,
        `on_event` all that happens, from the plan to the summary. If a newer revision was applied, nothing more is done
        with `plan`, and the report's `superseded_by` is that revision. Raises StalePlanError if a change is due that
        was not approved, BlockedError if it may not be applied: before the first write.
        """
        arguments.check_planned(
            allow_destroy=allow_destroy,
            adopt=adopt,
            prune_clones=prune_clones,
            revision=revision,
            no_revision=no_revision,
        )
        selection = self._select(only, exclude, regions)
        extras = {"allow_destroy": allow_destroy, "allow_rollback": allow_rollback, "adopt": adopt}
        extras |= {"prune_clones": prune_clones}
        consent = arguments.consent_of(plan, selection=selection, only_drift=only_drift, **extras)
        options = arguments.apply_options(
            selection=selection,
            parallelism=parallelism,
            lock_timeout=lock_timeout,
            lock_timeout_s=lock_timeout_s,
            fail_fast=fail_fast,
            only_drift=only_drift,
        )
        waits_s = arguments.wait_busy_of(wait_busy, wait_busy_s, default=None)
        arguments.check_carried_out(on_end=on_end, on_event=on_event)
        found = await self._connection.find_revision(self.spec, revision, is_declined=no_revision)
        arguments.check_revision(plan, found.revision, no_revision=no_revision)
        options = replace(options, revision=found.revision)
        spec = found.told_by(reduced(self.spec, consent.saved.app) if consent.saved else self.spec)

        async def propose(session: Session) -> Proposal:
            images = self._connection.images(session.target)
            return await propose_apply(session, spec, consent, options, images=images)

        return await self._carry_out(propose, wait_busy_s=waits_s, on_end=on_end, on_event=on_event)

    async def drift(
        self, *, only: Collection[str] = (), exclude: Collection[str] = (), regions: Collection[str] = ()
    ) -> Plan:
        """Return what someone else changed since the last apply. Reads only."""
        selection = self._select(only, exclude, regions)
        return await drift(await self._connection.open(), self.spec, selection=selection)

    async def diff(
        self,
        old: Spec,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
    ) -> Plan:
        """Return what an apply of this spec would change after one of `old`. Offline."""
        arguments.check_spec("old", old)
        selection = self._select(only, exclude, regions, old)
        return diff(old, self.spec, at=datetime.now(UTC), selection=selection)

    async def build(self, *, only: Collection[str] = (), builder: str | None = None) -> tuple[BuiltImage, ...]:
        """Build and push the spec's images that are not there yet.

        The next apply uses them. `builder` is docker, podman or buildah, by default the first that is installed.
        RECONCILER_PUSH_TO says where images are pushed. Raises BuildError, RegistryError.
        """
        arguments.check_builder(builder)
        selection = self._select(only, (), ())
        session = await self._connection.open()
        push_to = self._connection.images(session.target).push_to
        return await build_images(session, self.spec, selection=selection, builder=builder, push_to=push_to)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stack={self.spec.stack!r}, target={self._connection.target_name!r})"
