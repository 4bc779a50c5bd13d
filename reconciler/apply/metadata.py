"""Writing planned marks on machines: under a lease, those of one machine under one, and machines side by side.

What is to be written, and on which machine, is the planner's to say.
"""

import asyncio
from collections.abc import Awaitable, Iterable

from reconciler.apply.locks import Locks
from reconciler.apply.options import Options
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import MetadataWrite, Plan
from reconciler.model.spec import Spec
from reconciler.planner.bookkeeping import Scope, books_of, is_surpassed, left_overrides
from reconciler.slots.context import Context
from reconciler.slots.override import restore_if_idle
from reconciler.slots.wait import read_by_id


async def leave_in_order(
    context: Context, spec: Spec, plan: Plan, found: Observed, options: Options, locks: Locks
) -> list[str]:
    """Leave the machines that were read back as the next apply and invoke need them; what could not be, in words."""
    limit = asyncio.Semaphore(options.parallelism)
    left = left_overrides(spec, found)
    failures = await _all(_restore(context, machine, declared, limit, locks) for machine, declared in left)
    if options.only_drift:
        return failures
    scope = Scope(
        only=options.only,
        revision=options.revision,
        allow_rollback=options.allow_rollback,
        reviewed=options.plan_sha256,
        has_changes=plan.has_changes,
    )
    writes = books_of(spec, found, scope)
    return failures + await _all(_write(context, write, limit, options, locks) for write in writes)


async def _all(works: Iterable[Awaitable[str | None]]) -> list[str]:
    return [why for why in await asyncio.gather(*works) if why]


async def _restore(
    context: Context, machine: Machine, declared: MachineConfig | None, limit: asyncio.Semaphore, locks: Locks
) -> str | None:
    """Take off again what a run had of its own and nobody took off after it; why it is still there, in words."""
    async with limit:
        return await restore_if_idle(context, machine, declared=declared, patience_s=locks.patience_s(machine.id))


async def _write(
    context: Context, write: MetadataWrite, limit: asyncio.Semaphore, options: Options, locks: Locks
) -> str | None:
    """Write the marks of one machine; why they could not be written, in words."""
    assert write.machine_id is not None, "only machines that were read back are written to"
    due = dict(write.marks)
    try:
        async with limit, locks.hold(write.app, write.machine_id) as lease:
            if marks.HIGHEST in due and options.revision:
                live = await read_by_id(context, write.app, write.machine_id)  # two applies may have seen the same list
                if live is None or is_surpassed(live.metadata, options.revision, allow_rollback=options.allow_rollback):
                    del due[marks.HIGHEST]
            for key, value in due.items():
                lease.guard()
                if value:
                    await context.client.set_metadata(write.app, write.machine_id, key, value)
                else:
                    await context.client.delete_metadata(write.app, write.machine_id, key)
    except Exception as error:
        return f"{write.app}/{write.name}: could not write {', '.join(due)}: {context.explain(error)}"
    return None
