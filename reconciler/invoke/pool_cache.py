"""Cache a pool's machines as last seen, to save calls.

One LIST, then each GET of a machine. It may be stale: it only tells which machine to try, and each decision rests on a
GET under the lease.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from reconciler.invoke.listing import list_pool
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState
from reconciler.model.run_policy import RunPolicy, parse_run_policy
from reconciler.slots.context import Context

_EMPTY_LIST_PAUSES_S: Final = (0.5, 1.0)


def pool_machines(machines: Sequence[Machine], stack: str, pool: str) -> list[Machine]:
    """Return the machines of the pool that this stack owns, without destroyed ones."""
    return [
        machine
        for machine in machines
        if marks.is_owned(machine.metadata, stack=stack, name=machine.name)
        and machine.metadata.get(marks.POOL) == pool
        and not machine.state.is_gone
    ]


class KnownPool:
    """The machines of one pool, and what the last apply wrote to its anchor."""

    def __init__(self, *, app: str, pool: str, stack: str) -> None:
        self.app = app
        self.pool = pool
        self.stack = stack
        self._machines: dict[str, Machine] = {}
        self._dark: list[Machine] = []
        self.round_trip_s: float = 0.0  # what a call took when the machines were listed last
        self._listed_at = float("-inf")
        self._listing = asyncio.Lock()
        self._tried: set[str] = set()
        self._held: set[str] = set()

    @property
    def machines(self) -> list[Machine]:
        """Return the machines of the pool, as last seen."""
        return list(self._machines.values())

    @property
    def busy_words(self) -> str:
        """Return which machines are busy, in words; empty if none is."""
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
        """Return whether the machines were listed."""
        return self._listed_at > float("-inf")

    @property
    def busy(self) -> list[Machine]:
        """Return the machines that are not at rest, as last seen."""
        return [machine for machine in self.machines if not machine.state.is_resting]

    def unreachable(self, slots: Collection[str]) -> list[Machine]:
        """Return the pool's machines that cannot be observed.

        They are known by their marks; if the marks cannot be read, by the names of `slots`.
        """
        ours = {machine.id for machine in self.machines}
        names = {*slots, ""}  # the name of one that nothing identifies
        return [
            one
            for one in self._dark
            if one.id in ours or (marks.STACK not in one.metadata and not one.shows_marks and one.name in names)
        ]

    @property
    def anchor(self) -> Machine | None:
        """Return the machine whose mark `anchor` names itself; None if there is none."""
        return next((one for one in self.machines if one.metadata.get(marks.ANCHOR) == one.name), None)

    @property
    def want(self) -> marks.Want | None:
        """Return the mark `want`, on whichever machine it is."""
        text = self._mark(marks.WANT)
        return marks.parse_want(text) if text else None

    @property
    def run_policy(self) -> RunPolicy | None:
        """Return the applied policy of runs, such as overrides; None if there is none."""
        return parse_run_policy(self._mark(marks.TERMS) or "")

    async def list_first(self, context: Context) -> None:
        """List the machines; an empty list is retried, as it may be stale after an apply."""
        await self.refresh(context)
        for pause_s in _EMPTY_LIST_PAUSES_S:
            if self.machines or self._dark:
                return
            await context.clock.sleep(pause_s)
            await self.refresh(context)

    async def refresh(self, context: Context, *, older_than_s: float = 0.0) -> None:
        """List the machines again if the last list is older than `older_than_s`.

        At most one LIST at a time. Raises ApiError.
        """
        async with self._listing:
            began = context.clock.monotonic()
            if began - self._listed_at >= older_than_s:
                listed = await list_pool(context, self.app, stack=self.stack, pool=self.pool)
                self.take(listed, began=began, now=context.clock.monotonic())

    def take(self, listed: Sequence[Machine], *, began: float, now: float) -> None:
        """Take over a list of the app's machines.

        `began` and `now` are the monotonic times of request and reply.
        """
        self.round_trip_s = now - began
        self._listed_at = now
        self._held.clear()
        self._dark = [machine for machine in listed if not machine.is_observable and not machine.state.is_gone]
        self._machines = {machine.id: machine for machine in pool_machines(listed, self.stack, self.pool)}
        for machine in self.machines:
            # Someone claims or changes it. What the anchor remembers of keys is asked for under its lease anyway.
            if machine.lease and machine.state.is_resting and machine.metadata.get(marks.ANCHOR) != machine.name:
                self.see_held(machine)

    def see(self, machine: Machine) -> None:
        """Take over a GET of a machine; forget it if it no longer belongs to the pool."""
        self._held.discard(machine.id)
        is_ours = machine.config is None or pool_machines([machine], self.stack, self.pool)
        if machine.state.is_gone or not is_ours:
            self._machines.pop(machine.id, None)
        else:
            self._machines[machine.id] = machine

    def see_held(self, machine: Machine) -> None:
        """Note that someone else has the machine's lease: busy until it is read again."""
        self._machines[machine.id] = replace(machine, state=MachineState.STARTING)
        self._held.add(machine.id)

    def is_held(self, machine: Machine) -> bool:
        """Return whether someone else had the machine's lease when it was last tried."""
        return machine.id in self._held

    @property
    def untried(self) -> list[Machine]:
        """Return the machines that no claimant of this process tries at present."""
        return [machine for machine in self.machines if machine.id not in self._tried]

    @contextmanager
    def trying(self, machine: Machine) -> Iterator[None]:
        """Keep other claimants of this process away from the machine during the block."""
        self._tried.add(machine.id)
        try:
            yield
        finally:
            self._tried.discard(machine.id)

    def _mark(self, key: str) -> str | None:
        return next((one.metadata[key] for one in self.machines if key in one.metadata), None)
