"""The session of a stack, opened at its first call.

Also what the environment says about images and tokens.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx

from reconciler.clock import Clock
from reconciler.model.concealment import Concealment, known_tokens
from reconciler.model.plan import Plan, SavedPlan
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.operations import saved_plans
from reconciler.operations.images import ImagePolicy, LookedUp, mode_of
from reconciler.operations.load import PUSH_TO
from reconciler.operations.plan import plan
from reconciler.operations.revision import FoundRevision, find_revision
from reconciler.operations.session import Session, open_session
from reconciler.slots.context import Emit
from reconciler.stack.arguments import check_planned
from reconciler.targets import LOCAL, Target, resolve_target
from reconciler.tasks.arguments import shown_target, with_token
from reconciler.tasks.own_session import Opening, OwnSession


class Connection:
    """The target of a stack, and the session on it, for one event loop."""

    def __init__(
        self,
        target: Target | str | None,
        token: str | None,
        environment: Mapping[str, str],
        *,
        emit: Emit,
        clock: Clock | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.target_name: str = shown_target(target, environment)
        self._target = target
        self._environment = with_token(environment, token)
        self._emit = emit
        self._clock = clock
        self._transport = transport
        self._known = Concealment(known_tokens(self._environment))
        self._session = OwnSession(partial(Opening, self._enter))

    async def open(self) -> Session:
        """Return the session, the same at each call. Raises TargetError."""
        return await self._session.open()

    async def close(self) -> None:
        """Close what was opened; it may be opened again."""
        await self._session.close()

    async def _enter(self, closing: AsyncExitStack) -> Session:
        """Resolve the target and enter a session on it."""
        target = self._target
        if not isinstance(target, Target):
            target = await asyncio.to_thread(resolve_target, self._environment, target)
        if target.token:
            self._known.add(target.token.reveal())
        opening = open_session(
            target,
            self._environment,
            emit=self._emit,
            learn=self._known.add,
            clock=self._clock,
            transport=self._transport,
        )
        return await closing.enter_async_context(opening)

    def images(self, target: Target) -> ImagePolicy:
        """Return how images are treated, as the environment or the target says.

        Raises ValueError.
        """
        mode = mode_of(None, self._environment, target)
        return ImagePolicy(mode=mode, push_to=self._environment.get(PUSH_TO))

    async def plan(
        self,
        spec: Spec,
        *,
        selection: Selection,
        allow_destroy: int | None,
        revision: int | None,
        no_revision: bool,
        adopt: bool,
        prune_clones: bool,
    ) -> tuple[Plan, LookedUp]:
        """Return the plan of the spec, and what was found of its images.

        Raises as `check_planned` does.
        """
        check_planned(
            allow_destroy=allow_destroy,
            adopt=adopt,
            prune_clones=prune_clones,
            revision=revision,
            no_revision=no_revision,
        )
        session = await self.open()
        found = await self.find_revision(spec, revision, is_declined=no_revision)
        return await plan(
            session,
            found.told_by(spec),
            images=self.images(session.target),
            selection=selection,
            allow_destroy=allow_destroy,
            revision=found.revision,
            adopt=adopt,
            prune_clones=prune_clones,
        )

    async def find_revision(self, spec: Spec, number: int | None, *, is_declined: bool) -> FoundRevision:
        """Return the revision of this number, by default the commit's or the pipeline's."""
        find = partial(find_revision, is_declined=is_declined, is_local=self.target_name == LOCAL)
        return await asyncio.to_thread(find, spec, number, self._environment)

    async def save(
        self,
        plan: Plan,
        looked_up: LookedUp,
        file: Path,
        *,
        selection: Selection,
        adopt: bool,
        prune_clones: bool,
        allow_destroy: int | None,
    ) -> SavedPlan:
        """Write the plan to the file, without known tokens, and return it.

        Raises UsageError.
        """
        target = (await self.open()).target
        saved = saved_plans.bind(
            plan,
            looked_up.spec,
            target,
            selection=selection,
            app=None,
            adopt=adopt,
            prune_clones=prune_clones,
            allow_destroy=allow_destroy,
            images=looked_up.digests,
        )
        saved_plans.write(saved, file, salt=os.urandom(8).hex(), conceal=self._known.conceal)
        return saved
