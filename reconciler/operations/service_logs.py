"""Read the output of a service: the lines of all its machines, sorted by time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.errors import ApiError, UsageError
from reconciler.invoke.absence import LOST_AFTER_S, Absence
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.spec import Pool, PoolKind, Spec
from reconciler.slots.context import Context
from reconciler.slots.log_reader import ASK_AGAIN_S, LogReader

if TYPE_CHECKING:
    from reconciler.machines_api.logs import LogLine

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 2.0
_PATIENCE_S: Final = 5.0  # with a log that cannot be read

TakeLines: TypeAlias = "Callable[[Sequence[tuple[LogLine, Machine]]], None]"


def find_service(spec: Spec, name: str) -> Pool | None:
    """Return the service of this name, or the one that has a machine of this name.

    None if there is none. Raises UsageError if several apps have one.
    """
    services = [pool for pool in spec.pools if pool.kind is PoolKind.SERVICE]
    named = [pool for pool in services if pool.name == name]
    found = named or [pool for pool in services if any(slot.name == name for slot in pool.slots)]
    if len(found) > 1:
        apps = ", ".join(pool.app for pool in found)
        raise UsageError(f"service {name!r} is in several apps: {apps}", hint="say which with --app APP")
    return found[0] if found else None


async def read_service_logs(
    context: Context,
    spec: Spec,
    service: Pool,
    name: str,
    take: "TakeLines",
    *,
    follows: bool,
    lost_after_s: float = LOST_AFTER_S,
) -> bool:
    """Pass the newest lines of each machine (about 100) to `take`.

    With `follows`, go on with new lines until cancelled. `take` gets the lines of all machines, sorted by time, each
    with its machine. Return whether all machines' lines could be read. Raises ApiError if that failed for
    `lost_after_s`.
    """
    readers = [_Reader(context, machine) for machine in await _machines(context, spec, service, name)]
    absence = Absence(context, f"{name}: the logs cannot be read", lost_after_s=lost_after_s)
    pause_s = _FIRST_PAUSE_S
    while any(not reader.is_over for reader in readers):
        pages = await asyncio.gather(*(reader.read(follows=follows) for reader in readers))
        lines = [(line, reader.machine) for reader, page in zip(readers, pages, strict=True) for line in page]
        take(sorted(lines, key=lambda pair: pair[0].timestamp))
        if not follows:
            break
        longest_s = ASK_AGAIN_S if any(reader.is_failing for reader in readers) else _LONGEST_PAUSE_S
        pause_s = _FIRST_PAUSE_S if lines else min(pause_s * 2, longest_s)
        if error := next((reader.error for reader in readers if reader.error), None):
            await absence.endure(error, at_most_s=pause_s)
        else:
            absence.end()
            await context.clock.sleep(pause_s)
    return not any(reader.is_failing for reader in readers)


async def _machines(context: Context, spec: Spec, service: Pool, name: str) -> list[Machine]:
    where = {marks.STACK: spec.stack, marks.POOL: service.name}
    listed = await context.client.list_machines(service.app, where=where) or ()
    slots = {slot.name for slot in service.slots if name in {service.name, slot.name}}
    owned = [
        machine
        for machine in listed
        if machine.name in slots and marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name)
    ]
    if not owned:
        raise UsageError(f"{name} has no machine", hint="apply first; `reconciler status` shows what is there")
    return sorted(owned, key=lambda machine: machine.name)


class _Reader:
    """Reads the log of one machine.

    If a followed log cannot be read and that may pass, it is asked for again. Otherwise the reader `is_over` after some
    seconds, and the others go on.
    """

    def __init__(self, context: Context, machine: Machine) -> None:
        self.machine = machine
        self.is_failing = False
        self.is_over = False
        self._context = context
        self._reader = LogReader(context, machine)
        self._failing_since = 0.0
        self.error: ApiError | None = None  # of the newest look, where it has lasted and may pass

    async def read(self, *, follows: bool) -> "list[LogLine]":
        """Return the new lines; none if they cannot be read."""
        if self.is_over:
            return []
        began = self._context.clock.monotonic()
        try:
            lines = await (self._reader.read() if follows else self._reader.read_within(_PATIENCE_S))
        except Exception as error:
            self._failing_since = self._failing_since if self.is_failing else began
            self.is_failing = True
            self._note(error, follows=follows)
            return []
        self.is_failing, self.error = False, None
        return [line for line in lines if line.is_output or line.is_platform_error]

    def _note(self, error: Exception, *, follows: bool) -> None:
        is_lasting = self._context.clock.monotonic() - self._failing_since >= _PATIENCE_S
        is_asked_again = follows and isinstance(error, ApiError) and (error.is_passing or not is_lasting)
        self.is_over = not is_asked_again
        self.error = error if isinstance(error, ApiError) and is_asked_again and is_lasting else None
        if self.is_over:
            self._context.emit(f"{self.machine.name}: its log cannot be read: {self._context.explain(error)}")
