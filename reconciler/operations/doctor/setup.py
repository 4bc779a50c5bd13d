"""Find what the checks look at: the environment, the spec, and the target."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias, TypeVar

from msgspec import Struct

from reconciler.errors import ApiError, ReconcilerError
from reconciler.hidden import HidesFields
from reconciler.machines_api.tokens import TokenInfo
from reconciler.model.spec import Spec
from reconciler.operations.load import load
from reconciler.operations.session import Session
from reconciler.operations.spec_files import SpecSource
from reconciler.targets import FLY, LOCAL, Target, find_target, name_of_target

T = TypeVar("T")
Connect: TypeAlias = Callable[[Target], AbstractAsyncContextManager[Session]]
"""Opens a session on a target."""


class Reach(Struct, frozen=True, kw_only=True):
    """Whether the target answers, how fast, and how far our clock is ahead.

    `problem` and `mend` say why it does not.
    """

    problem: str | None = None
    mend: str | None = None
    latency_s: float = 0.0
    skew_s: float | None = None


class Setup(HidesFields, frozen=True, kw_only=True):
    """What the checks look at.

    Of spec and target there is the value, or the error of looking for it. The target is None too if it is the local
    engine, and that does not run; then there is no session. `reach` and `token` are what the target answers, for all
    checks.
    """

    _hidden = frozenset({"environment"})

    environment: Mapping[str, str]
    target_name: str
    directory: Path
    spec: Spec | ReconcilerError
    target: Target | ReconcilerError | None = None
    session: Session | None = None
    reach: "asyncio.Task[Reach] | None" = None
    token: "asyncio.Task[TokenInfo | ApiError] | None" = None

    @property
    def is_local(self) -> bool:
        return self.target_name == LOCAL

    @property
    def is_fly(self) -> bool:
        return self.target_name == FLY

    @property
    def runs_on_host(self) -> bool:
        """Return whether the local engine runs, or would run, commands without images."""
        if isinstance(self.target, Target):
            return self.target.runs_on_host
        return self.is_local and self.environment.get("RECONCILER_RUNTIME") != "container"

    async def reached(self) -> bool:
        """Return whether the target answers."""
        return self.reach is not None and (await asyncio.shield(self.reach)).problem is None


def look_around(source: SpecSource) -> Setup:
    """Return what is there. Blocks, and asks nobody over the network."""
    environment = source.environment
    return Setup(
        environment=environment,
        target_name=name_of_target(environment, source.target),
        directory=source.directory or Path.cwd(),
        spec=_or_error(lambda: load(source)),
        target=_or_error(lambda: find_target(environment, source.target, needs_token=False)),
    )


def _or_error(find: Callable[[], T]) -> T | ReconcilerError:
    try:
        return find()
    except ReconcilerError as error:
        return error
