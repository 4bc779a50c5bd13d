"""Bring machines into a state for the probes.

A machine that does little is used again and again; the probes that destroy it cause a new one.
"""

from contextlib import suppress
from typing import Any, Final

from reconciler.conformance.calls import Calls
from reconciler.conformance.probe import UntriedError, needs
from reconciler.errors import ApiError

_SETTLED: Final = ("started", "stopped", "suspended", "failed")
_STEPS: Final = 6
_IN_VAIN: Final = 2
_STUBBORN_S: Final = 30  # how long it is asked before it is killed: enough for some calls
_PAUSE_S: Final = 1.0


class Laboratory(Calls):
    """The calls of the probes, and machines in the state that they need."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._kept: dict[str, str] = {}  # ids by role
        self._rests_created = False
        self._in_vain: dict[str, list[str]] = {}  # why no machine came into a state

    async def in_state(self, state: str) -> str:
        """Return the id of a machine in this state.

        Raises UntriedError: at once, if it was in vain twice before.
        """
        failures = self._in_vain.setdefault(state, [])
        if len(failures) == _IN_VAIN:
            raise UntriedError(failures[-1])
        try:
            return await self._in_state(state)
        except UntriedError as error:
            failures.append(str(error))
            if state in _SETTLED:
                await self.discard("long")  # it may never leave its state
            raise

    async def _in_state(self, state: str) -> str:
        match state:
            case "created":
                machine = await self.create("long")
                needs(machine.get("state") == "created", f"a new machine is {machine.get('state')} at once")
                return str(machine["id"])
            case "replacing":
                machine_id = await self.in_state("stopped")
                await self.make_version(machine_id)
                now = await self.state(machine_id)
                needs(now == "replacing", f"the machine is {now} right after its update")
                return machine_id
            case "stopping":
                return await self._stopping()
            case "destroyed":
                return await self._destroyed()
            case _:
                return await self._walked_to(state)

    async def resting(self, role: str) -> str:
        """Return the machine of this role at rest; make it at the first call.

        Raises UntriedError.
        """
        machine_id = self._kept.get(role)
        machine = await self.look(machine_id) if machine_id else {"state": "destroyed"}
        if machine["state"] in {"destroying", "destroyed"}:
            machine_id = str((await self.create(role))["id"])
            self._kept[role] = machine_id
        assert machine_id is not None
        rests = ("stopped", "created") if self._rests_created else ("stopped",)
        try:
            await self.until_state(machine_id, *rests)
        except UntriedError:
            if await self.state(machine_id) != "created":
                raise
            self._rests_created = True
        return machine_id

    async def discard(self, role: str) -> None:
        """Destroy the machine of this role, which is not needed any more."""
        if machine_id := self._kept.pop(role, None):
            with suppress(ApiError):
                await self.ask("DELETE", "", machine_id, query={"force": "true"})

    def keep_destroyed(self, machine_id: str) -> None:
        """Note a machine that a probe has destroyed, for those that need one."""
        self._kept["destroyed"] = machine_id

    async def _walked_to(self, goal: str) -> str:
        machine_id = self._kept.get("long")
        state = await self.state(machine_id) if machine_id else "destroyed"
        if machine_id is None or state in {"destroying", "destroyed"}:
            machine_id = await self.resting("long")
            state = await self.state(machine_id)
        for _ in range(_STEPS):
            if state == goal:
                return machine_id
            if state not in _SETTLED and not (state == "created" and self._rests_created):
                state = str((await self.until_state(machine_id, *_SETTLED))["state"])
                continue
            state = await self._step(machine_id, state, goal)
        raise UntriedError(f"no machine gets {goal}: it is {state}")

    async def _step(self, machine_id: str, state: str, goal: str) -> str:
        """Send the call that leads nearer to the goal; return the state that follows."""
        if state == "started":
            call, then = ("/suspend", "suspended") if goal == "suspended" else ("/stop", "stopped")
            answer = await self.ask("POST", call, machine_id, body={} if then == "stopped" else None)
            needs(answer.is_success, f"{call[1:]} of a started machine answers {answer.words}")
        elif state == "suspended" and goal == "stopped":
            answer, then = await self.ask("POST", "/stop", machine_id, body={}), "stopped"
            needs(answer.is_success, f"stop of a suspended machine answers {answer.words}")
        else:
            await self.start(machine_id)
            then = "started"
        return str((await self.until_state(machine_id, then))["state"])

    async def _stopping(self) -> str:
        machine_id = self._kept.get("stubborn")
        if machine_id and await self.state(machine_id) == "stopping":
            return machine_id
        machine_id = await self.resting("stubborn")
        await self.start(machine_id)
        await self.until_state(machine_id, "started")
        await self.clock.sleep(_PAUSE_S)  # until its command ignores the signal
        answer = await self.ask("POST", "/stop", machine_id, body={"timeout": f"{_STUBBORN_S}s"})
        needs(answer.is_success, f"stop answers {answer.words}")
        state = await self.state(machine_id)
        needs(state == "stopping", f"a machine that ignores the stop signal is {state} right after its stop")
        return machine_id

    async def _destroyed(self) -> str:
        if machine_id := self._kept.get("destroyed"):
            return machine_id
        machine_id = await self._walked_to("stopped")
        answer = await self.ask("DELETE", "", machine_id, query={"force": "true"})
        needs(answer.is_success, f"the machine cannot be destroyed: {answer.words}")
        await self.until_state(machine_id, "destroyed")
        self.keep_destroyed(machine_id)
        return machine_id
