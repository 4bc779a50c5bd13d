"""The calls that probes make on the machines of their app."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import quote

from reconciler.clock import Clock
from reconciler.conformance.probe import DiffersError, UntriedError, needs
from reconciler.conformance.reading import lease_of
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api.calls import NEW_APP_S, app_path
from reconciler.machines_api.raw import Answer, RawApi
from reconciler.machines_api.values import list_of, object_of

COMMANDS: Final = {
    "long": ["sh", "-c", "trap '' USR1; exec sleep 3600"],
    "stubborn": ["sh", "-c", "trap '' INT TERM; exec sleep 3600"],
    "short": ["sh", "-c", "exit 7"],
}
SHORT_CODE: Final = 7
_GUEST: Final = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
_CALL_S: Final = 15.0
_CREATE_S: Final = 60.0
_RELEASE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_SETTLES_S: Final = 120.0
_REAPED_S: Final = 20.0
_LISTED_WITHIN_S: Final = 10.0


class Calls:
    """Make, look at and change the machines of one app. `made` counts them."""

    def __init__(self, api: RawApi, clock: Clock, *, app: str, region: str | None, image: str) -> None:
        self.api = api
        self.clock = clock
        self.app: str = app
        self.made: int = 0
        self.creation: Mapping[str, str] = {}  # what the app was made with
        self._region = region
        self._image = image
        self._made_at = clock.monotonic()
        self._changes = 0

    async def ask(
        self,
        method: str,
        path: str,
        machine_id: str | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        nonce: str | None = None,
        timeout_s: float = _CALL_S,
    ) -> Answer:
        """Return the answer to a call on a machine, or on the app without `machine_id`.

        Raises ApiError if no answer came.
        """
        about = f"/machines/{quote(machine_id, safe='')}" if machine_id else ""
        action = "get_machine" if (method, path) == ("GET", "") else f"{method} {path}"
        return await self.api.send(
            method,
            f"{app_path(self.app)}{about}{path}",
            limit=(action, machine_id or self.app),
            query=query,
            body=body,
            nonce=nonce,
            timeout_s=timeout_s,
        )

    async def look(self, machine_id: str) -> dict[str, Any]:
        """Return the machine; of one that is unknown only that it is destroyed."""
        answer = await self.ask("GET", "", machine_id)
        if answer.kind is ApiErrorKind.NOT_FOUND:
            return {"id": machine_id, "state": "destroyed"}
        needs(answer.is_success, f"GET of the machine answers {answer.words}")
        return object_of(answer.body, "a machine")

    async def state(self, machine_id: str) -> str:
        """Return the machine's state."""
        return str((await self.look(machine_id)).get("state"))

    async def events(self, machine_id: str) -> list[dict[str, Any]]:
        """Return the retained events, newest first."""
        answer = await self.ask("GET", "/events", machine_id, query={"limit": 50})
        needs(answer.is_success, f"GET of its events answers {answer.words}")
        return [event for event in list_of(answer.body) if isinstance(event, dict)]

    async def known_events(self, machine_id: str) -> frozenset[str]:
        """Return the ids of the retained events."""
        return frozenset(str(event.get("id")) for event in await self.events(machine_id))

    async def newest(self, machine_id: str, kind: str) -> str | None:
        """Return the id of the newest event of this type."""
        return next((str(one.get("id")) for one in await self.events(machine_id) if one.get("type") == kind), None)

    async def until(
        self, machine_id: str, is_so: Callable[[dict[str, Any]], object], what: str, *, within_s: float = _SETTLES_S
    ) -> dict[str, Any]:
        """Return the machine once `is_so` accepts it; `what` says the same in words.

        Raises UntriedError after `within_s`.
        """
        deadline, pause_s = self.clock.monotonic() + within_s, _FIRST_PAUSE_S
        while True:
            machine = await self.look(machine_id)
            if is_so(machine):
                return machine
            if self.clock.monotonic() >= deadline:
                raise UntriedError(f"the machine is {machine.get('state')} after {within_s:g} s, and not {what}")
            await self.clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def until_state(self, machine_id: str, *states: str, within_s: float = _SETTLES_S) -> dict[str, Any]:
        """Return the machine once it is in one of the states. Raises UntriedError."""
        return await self.until(
            machine_id, lambda machine: machine.get("state") in states, " or ".join(states), within_s=within_s
        )

    async def before_long(self, attempt: Callable[[], Awaitable[str]]) -> str:
        """Return what `attempt` returns; repeat it for some seconds while it differs.

        A list may be some seconds old. Raises DiffersError.
        """
        deadline = self.clock.monotonic() + _LISTED_WITHIN_S
        while True:
            try:
                return await attempt()
            except DiffersError:
                if self.clock.monotonic() >= deadline:
                    raise
            await self.clock.sleep(_LONGEST_PAUSE_S)

    def config(self, role: str, **members: Any) -> dict[str, Any]:
        """Return a config of the role, different each time."""
        self._changes += 1
        return {
            "image": self._image,
            "init": {"exec": COMMANDS[role]},
            "guest": _GUEST,
            "restart": {"policy": "no"},
            "env": {"CONFORM": str(self._changes)},
        } | members

    async def try_to_create(self, role: str, name: str, **members: Any) -> Answer:
        """Return the answer to a create that starts nothing; `members` are of the config."""
        body: dict[str, Any] = {"name": name, "config": self.config(role, **members), "skip_launch": True}
        if self._region:
            body["region"] = self._region
        while True:
            answer = await self.ask("POST", "/machines", body=body, timeout_s=_CREATE_S)
            is_unknown = answer.status in {401, 404} or "no rows in result set" in answer.text
            if not is_unknown or self.clock.monotonic() > self._made_at + NEW_APP_S:
                self.made += answer.is_success
                return answer
            await self.clock.sleep(_LONGEST_PAUSE_S)

    def new_name(self, role: str) -> str:
        """Return a name that no machine has."""
        self._changes += 1
        return f"conform-{role}-{self._changes}"

    async def create(self, role: str, **members: Any) -> dict[str, Any]:
        """Return a new machine, as the answer tells it. Raises UntriedError."""
        answer = await self.try_to_create(role, self.new_name(role), **members)
        needs(answer.is_success, f"no machine can be made: {answer.words}")
        needs(answer.members.get("id"), "the answer to a create has no id")
        return answer.members

    async def update(
        self, machine_id: str, *, nonce: str | None = None, guard: str | None = None, **members: Any
    ) -> Answer:
        """Return the answer to an update to a new config.

        `guard` is sent as its `current_version`.
        """
        body: dict[str, Any] = {"config": self.config("long", **members)}
        if guard:
            body["current_version"] = guard
        return await self.ask("POST", "", machine_id, body=body, nonce=nonce, timeout_s=_CREATE_S)

    async def make_version(self, machine_id: str) -> None:
        """Update the machine to a new version. Raises UntriedError if that is refused."""
        answer = await self.update(machine_id)
        needs(answer.is_success, f"the machine cannot be updated: {answer.words}")

    async def start(self, machine_id: str) -> Answer:
        """Return the answer to a start; repeat it until the run before is reaped.

        Raises UntriedError if it is refused.
        """
        deadline = self.clock.monotonic() + _REAPED_S
        while True:
            answer = await self.ask("POST", "/start", machine_id, timeout_s=_CREATE_S)
            if answer.kind is not ApiErrorKind.SETTLING or self.clock.monotonic() >= deadline:
                needs(answer.is_success, f"the machine cannot be started: {answer.words}")
                return answer
            await self.clock.sleep(_LONGEST_PAUSE_S)

    @asynccontextmanager
    async def leased(self, machine_id: str, *, ttl_s: int = 30, description: str = "conform") -> AsyncIterator[str]:
        """Hold a lease on the machine for the block, and yield its nonce.

        Raises UntriedError.
        """
        body = {"ttl": ttl_s, "description": description}
        answer = await self.ask("POST", "/lease", machine_id, query={"ttl": ttl_s}, body=body)
        nonce = str(lease_of(answer).get("nonce") or "")
        needs(answer.is_success and nonce, f"no lease is given: {answer.words}")
        self.api.conceal(nonce)
        try:
            yield nonce
        finally:
            with suppress(ApiError):
                await self.ask("DELETE", "/lease", machine_id, nonce=nonce, timeout_s=_RELEASE_S)
