"""Run every check at once, each within a time.

A check is a function of the `Setup` that returns findings, and a row of the table CHECKS.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from msgspec.structs import replace

from reconciler.errors import ReconcilerError, UsageError, unexpected_words
from reconciler.model.finding import Examination, Finding, Level
from reconciler.operations.doctor.access import ask_token, check_apps, check_target, check_token, reach
from reconciler.operations.doctor.here import check_engine, check_git, check_spec
from reconciler.operations.doctor.images import check_builder, check_registry
from reconciler.operations.doctor.setup import Connect, Setup, look_around
from reconciler.operations.spec_files import SpecSource
from reconciler.targets import Target

LIMIT_S: Final = 12.0


class Check(NamedTuple):
    """A check, and the level of one that takes too long."""

    run: Callable[[Setup], Awaitable[tuple[Finding, ...]]]
    late: Level = Level.WARN


CHECKS: Final[Mapping[str, Check]] = {
    "spec": Check(check_spec),
    "token": Check(check_token),
    "target": Check(check_target, Level.FAIL),
    "apps": Check(check_apps),
    "registry": Check(check_registry),
    "builder": Check(check_builder),
    "git": Check(check_git),
    "engine": Check(check_engine),
}


async def examine(source: SpecSource, connect: Connect, debug: Callable[[Exception], None]) -> Examination:
    """Return what every check finds. It takes twice the limit at most.

    `debug` takes errors that nobody expects. The spec and the engine's home may be on a disk that does not answer, so
    they are read in threads. Raises UsageError if the spec cannot be read in time.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            setup = await asyncio.to_thread(look_around, source)
    except TimeoutError as error:
        why = f"the spec and the engine's home cannot be read within {LIMIT_S:g} s"
        raise UsageError(why, hint="are they on a drive that is not connected?") from error
    return await examine_setup(setup, connect, debug)


async def examine_setup(
    setup: Setup, connect: Connect, debug: Callable[[Exception], None], checks: Mapping[str, Check] = CHECKS
) -> Examination:
    """Return what the checks find of this."""
    async with AsyncExitStack() as held:
        if isinstance(setup.target, Target):
            session = await held.enter_async_context(connect(setup.target))
            reaching = asyncio.ensure_future(reach(session))
            held.callback(reaching.cancel)
            asking = asyncio.ensure_future(ask_token(session)) if setup.target.token else None
            if asking:
                held.callback(asking.cancel)
            setup = replace(setup, session=session, reach=reaching, token=asking)
        found = await asyncio.gather(*(_findings(name, check, setup, debug) for name, check in checks.items()))
    return Examination(target=setup.target_name, findings=tuple(one for findings in found for one in findings))


async def _findings(name: str, check: Check, setup: Setup, debug: Callable[[Exception], None]) -> list[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            found = await check.run(setup)
    except TimeoutError:
        found = (Finding(level=check.late, text=f"no answer within {LIMIT_S:g} s", mend="check the network"),)
    except ReconcilerError as error:
        found = (Finding(level=Level.FAIL, text=error.message, mend=error.hint),)
    except Exception as error:
        debug(error)
        mend = "run it again with RECONCILER_LOG=debug to see where"
        found = (Finding(level=Level.FAIL, text=unexpected_words(error), mend=mend),)
    return [replace(one, check=name) for one in found]
