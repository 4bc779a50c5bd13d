"""A pool's machines as they were last seen, so that no more is asked than has to be.

One list, and from then on what each look at a machine showed. Stale as it may be, it only says where to try: what is
decided is decided by a look under the lease.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState
from reconciler.model.run_policy import Terms, parse_terms
from reconciler.slots.context import Context

_EMPTY_LIST_PAUSES_S: Final = (0.5, 1.0)


def pool_machines(machines: Sequence[Machine], stack: str, pool: str) -> list[Machine]:
    """The machines of the pool that this stack owns and that are not gone."""
    return [
        machine
        for machine in machines
        if marks.is_owned(machine.metadata, stack=stack, name=machine.name)
        and machine.metadata.get(marks.POOL) == pool
        and not machine.state.is_gone
    ]


class KnownPool:
    """The machines of one pool. `known.terms` and `known.want` are what the last apply left on the pool's anchor."""

    def __init__(self, *, app: str, pool: str, stack: str) -> None:
        self.app = app
        self.pool = pool
        self.stack = stack
        self._machines: dict[str, Machine] = {}
        self._dark: list[Machine] = []
        self.round_trip_s = 0.0  # what a call took when the machines were listed last
        self._listed_at = float("-inf")
        self._listing = asyncio.Lock()
        self._tried: set[str] = set()
        self._held: set[str] = set()

    @property
    def machines(self) -> list[Machine]:
        return list(self._machines.values())

    @property
    def busy_words(self) -> str:
        """Which machines are busy, in words; empty where none is."""
        if not self.busy:
            return ""
        names = ", ".join(
            f"{machine.name} ({'leased' if self.is_held(machine) else machine.state.value})"
            for machine in self.busy[:5]
        )
        more = f" and {len(self.busy) - 5} more" if len(self.busy) > 5 else ""
        return f"{len(self.busy)} of {len(self.machines)} are busy: {names}{more}"

    @property
    def is_listed(self) -> bool:
        """Whether a list of the machines has come."""
        return self._listed_at > float("-inf")

    @property
    def busy(self) -> list[Machine]:
        return [machine for machine in self.machines if not machine.state.is_resting]

    def unreachable(self, slots: Collection[str]) -> list[Machine]:
        """The pool's machines that cannot be observed, by their marks, or by the names of `slots` without any."""
        ours = {machine.id for machine in self.machines}
        names = {*slots, ""}  # the name of one that nothing identifies
        return [
            one
            for one in self._dark
            if one.id in ours or (marks.STACK not in one.metadata and not one.shows_marks and one.name in names)
        ]

    @property
    def anchor(self) -> Machine | None:
        """The machine of the pool that names itself the anchor."""
        return next((one for one in self.machines if one.metadata.get(marks.ANCHOR) == one.name), None)

    @property
    def want(self) -> marks.Want | None:
        """What the pool's machines should be, on whichever of them the mark is."""
        text = self._mark(marks.WANT)
        return marks.parse_want(text) if text else None

    @property
    def terms(self) -> Terms | None:
        """What one run may be, as the last apply left it; None where it did not say."""
        return parse_terms(self._mark(marks.TERMS) or "")

    async def list_first(self, context: Context) -> None:
        """List them. A list may lag behind an apply that has just ended, so an empty one is asked for again."""
        await self.refresh(context)
        for pause_s in _EMPTY_LIST_PAUSES_S:
            if self.machines or self._dark:
                return
            await context.clock.sleep(pause_s)
            await self.refresh(context)

    async def refresh(self, context: Context, *, older_than_s: float = 0.0) -> None:
        """Lists them anew, where the last list is older than that: at most one call at a time. Raises ApiError."""
        async with self._listing:
            began = context.clock.monotonic()
            if began - self._listed_at >= older_than_s:
                listed = await context.client.list_machines(self.app) or ()
                self.take(listed, began=began, now=context.clock.monotonic())

    def take(self, listed: Sequence[Machine], *, began: float, now: float) -> None:
        """A list of the app's machines was asked for and has come, at `began` and `now` on the monotonic clock."""
        self.round_trip_s = now - began
        self._listed_at = now
        self._held.clear()
        self._dark = [machine for machine in listed if not machine.is_observable and not machine.state.is_gone]
        self._machines = {machine.id: machine for machine in pool_machines(listed, self.stack, self.pool)}

    def see(self, machine: Machine) -> None:
        """A machine was looked at. One that is no longer of the pool is forgotten."""
        self._held.discard(machine.id)
        is_ours = machine.config is None or pool_machines([machine], self.stack, self.pool)
        if machine.state.is_gone or not is_ours:
            self._machines.pop(machine.id, None)
        else:
            self._machines[machine.id] = machine

    def see_held(self, machine: Machine) -> None:
        """Someone else has the machine's lease: as good as busy, until it is looked at again."""
        self._machines[machine.id] = replace(machine, state=MachineState.STARTING)
        self._held.add(machine.id)

    def is_held(self, machine: Machine) -> bool:
        """Whether all that is known of the machine is that someone else had its lease."""
        return machine.id in self._held

    @property
    def untried(self) -> list[Machine]:
        """The machines that no claimant of this process is trying at this moment."""
        return [machine for machine in self.machines if machine.id not in self._tried]

    @contextmanager
    def trying(self, machine: Machine) -> Iterator[None]:
        """Keeps the other claimants of this process off the machine for the block."""
        self._tried.add(machine.id)
        try:
            yield
        finally:
            self._tried.discard(machine.id)

    def _mark(self, key: str) -> str | None:
        return next((one.metadata[key] for one in self.machines if key in one.metadata), None)
