"""Call the Machines API: one short method for each endpoint that we use.

Every method raises ApiError; its `kind` says what happened. The only decision here is which calls are idempotent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api import wire
from reconciler.machines_api.calls import Call, NewApps, app_path, nothing, on_machine
from reconciler.machines_api.events import list_of_events_from_json
from reconciler.machines_api.groups import CallGroups
from reconciler.machines_api.throttle import Bucket, Notice, Throttle, notice_nothing
from reconciler.machines_api.transport import TraceEntry, Transport
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Event, Machine, MachineState, MachineVersion
from reconciler.model.secret import Secret

USER_AGENT: Final = "machines-reconciler"
_CREATE: Final = "create_machine"
_START_TIMEOUT_S: Final = 15.0
_WAIT_SLICE_S: Final = 55
_WAIT_SLACK_S: Final = 10.0
_RATE_PATIENCE_S: Final = 300.0
_STALE: Final = {409, 412}  # 412 of servers that follow older documents
_WAIT_IS_OVER: Final = {
    ApiErrorKind.WAIT_EXPIRED,
    ApiErrorKind.REPLACED,
    ApiErrorKind.BAD_INPUT,
    ApiErrorKind.NOT_FOUND,
    ApiErrorKind.UNCLEAR,
    ApiErrorKind.REFUSED,
}


class MachinesClient(CallGroups):
    """Talk to one Machines API. An async context manager.

    The calls on machines are its methods; `apps`, `leases`, `lists`, `logs` and `platform` hold the others.
    `base_url` is without `/v1`. `relocate` is called when the server cannot be reached, and returns its new base URL,
    or None. `notice` gets a line about each wait for a rate limit that takes more than five seconds.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: Secret | None,
        clock: Clock,
        logs_url: str | None = None,
        paced: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        trace: Callable[[TraceEntry], None] | None = None,
        user_agent: str = USER_AGENT,
        rate_patience_s: float = _RATE_PATIENCE_S,
        relocate: Callable[[], str | None] | None = None,
        notice: Notice = notice_nothing,
    ) -> None:
        self.new_apps: NewApps = NewApps(clock)
        self._throttle = Throttle(clock, is_paced=paced, notice=notice)

        def open_transport(url: str) -> Transport:
            return Transport(
                base_url=url,
                token=token,
                clock=clock,
                user_agent=user_agent,
                throttle=self._throttle,
                new_apps=self.new_apps,
                rate_patience_s=rate_patience_s,
                transport=transport,
                trace=trace,
                relocate=relocate if url == base_url else None,
            )

        api = open_transport(base_url)
        super().__init__(api, api if logs_url in {None, base_url} else open_transport(logs_url or base_url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.aclose()
        if self._logs_api is not self._api:
            await self._logs_api.aclose()

    async def list_machines(
        self,
        app: str,
        *,
        with_destroyed: bool = False,
        where: Mapping[str, str] | None = None,
        keep: Callable[[Machine], bool] | None = None,
    ) -> tuple[Machine, ...] | None:
        """Return the machines of the app; None if the app does not exist.

        `with_destroyed` adds the machines that were destroyed in the last two days. `where` asks for those with this
        metadata alone; an older server sends the others too. `keep` says which of them to return, so that memory need
        not hold the others. Raises BrokenListError if the list is not whole.
        """
        return await self.lists.all_of(app, with_destroyed=with_destroyed, where=where, keep=keep)

    async def get_machine(self, app: str, machine_id: str) -> Machine:
        """Return the machine. Raises kind NOT_FOUND if the API does not know it."""
        call = on_machine("GET", app, machine_id, "get_machine", is_repeatable=True)
        return await self._api.send(call, lambda value: wire.machine_from_json(app, value, machine_id=machine_id))

    def creations_in(self, app: str) -> Bucket:
        """Return the rate limit for creating machines in the app."""
        return self._throttle.bucket(_CREATE, app)

    @property
    def creation_pause_s(self) -> float:
        """Return the seconds between creates in one app after the burst; 0: no limit."""
        return self._throttle.pause_s(_CREATE)

    async def create_machine(
        self, app: str, *, name: str, region: str, config: MachineConfig, skip_launch: bool
    ) -> Machine:
        """Create a machine. Not idempotent: after a lost reply, look for its name."""
        call = Call(
            method="POST",
            path=f"{app_path(app)}/machines",
            what=f"create machine {name} in {app}",
            action=_CREATE,
            identifier=app,
            app=app,
            body=wire.machine_body(name=name, region=region, config=config, skip_launch=skip_launch),
        )
        return await self._api.send(call, lambda value: wire.machine_from_json(app, value, name=name))

    async def update_machine(
        self,
        app: str,
        machine_id: str,
        *,
        name: str,
        region: str,
        config: MachineConfig,
        nonce: Secret,
        current_version: str,
        skip_launch: bool,
    ) -> Machine:
        """Replace the whole config, unless the machine is no longer of `current_version`.

        The reply is no proof: read the machine back. Raises kind STALE_VERSION for another version.
        """
        body = wire.machine_body(
            name=name, region=region, config=config, skip_launch=skip_launch, current_version=current_version
        )
        call = on_machine("POST", app, machine_id, "update_machine", body=body, nonce=nonce)
        try:
            return await self._api.send(call, lambda value: wire.machine_from_json(app, value, machine_id=machine_id))
        except ApiError as error:
            if error.kind is ApiErrorKind.REFUSED and error.status in _STALE:
                error.kind = ApiErrorKind.STALE_VERSION  # documented by its status alone
            raise

    async def start_machine(
        self,
        app: str,
        machine_id: str,
        *,
        nonce: Secret | None,
        on_flight: Callable[[bool], None] | None = None,
    ) -> str | None:
        """Start the machine. Return its state before that, None if it is not reported.

        `on_flight` is called with True before each time the call is sent, and with False once it is certain that the
        call had no effect.
        """
        call = on_machine(
            "POST",
            app,
            machine_id,
            "start_machine",
            "/start",
            nonce=nonce,
            timeout_s=_START_TIMEOUT_S,
            on_flight=on_flight,
        )
        return await self._api.send(call, wire.previous_state_from_json)

    async def stop_machine(
        self,
        app: str,
        machine_id: str,
        *,
        nonce: Secret | None,
        signal: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Stop the machine: send its stop signal, and kill it after its stop timeout.

        `signal` and `timeout_s` replace those of its config.
        """
        body: dict[str, Any] = {}
        if signal:
            body["signal"] = signal
        if timeout_s is not None:
            body["timeout"] = f"{timeout_s:g}s"
        call = on_machine(
            "POST", app, machine_id, "stop_machine", "/stop", body=body or None, nonce=nonce, has_reply=False
        )
        await self._api.send(call, nothing)

    async def delete_machine(self, app: str, machine_id: str, *, nonce: Secret | None, force: bool = False) -> None:
        """Destroy the machine. Without `force`, STILL_RUNNING if it runs (A8)."""
        query = {"force": "true"} if force else None
        call = on_machine("DELETE", app, machine_id, "delete_machine", query=query, nonce=nonce, has_reply=False)
        await self._api.send(call, nothing)

    async def wait_machine(
        self,
        app: str,
        machine_id: str,
        *,
        states: Sequence[MachineState],
        version: str | None,
        from_event_id: str | None = None,
        timeout_s: float,
    ) -> bool:
        """Wait in the server until one of the states is reached, for at most 55 s.

        Return True if the server says so. False means no more than "read the machine": the wait expired, was refused,
        or the version was replaced.
        """
        slice_s = max(1, min(_WAIT_SLICE_S, int(timeout_s)))
        query: dict[str, Any] = {"state": [state.value for state in states], "timeout": slice_s}
        if version:
            query["version"] = version
        if from_event_id:
            query["from_event_id"] = from_event_id
        call = on_machine(
            "GET",
            app,
            machine_id,
            "wait_machine",
            "/wait",
            query=query,
            timeout_s=slice_s + _WAIT_SLACK_S,
            has_reply=False,
        )
        try:
            await self._api.send(call, nothing)
        except ApiError as error:
            if error.kind in _WAIT_IS_OVER:
                return False
            raise
        return True

    async def set_metadata(self, app: str, machine_id: str, key: str, value: str) -> None:
        """Write one metadata key. No lease stops it, and it makes no new version."""
        path = f"/metadata/{quote(key, safe='')}"
        call = on_machine(
            "POST", app, machine_id, "set_metadata", path, body={"value": value}, is_repeatable=True, has_reply=False
        )
        await self._api.send(call, nothing)

    async def delete_metadata(self, app: str, machine_id: str, key: str) -> None:
        """Delete one metadata key. It is no error if the key does not exist."""
        path = f"/metadata/{quote(key, safe='')}"
        call = on_machine("DELETE", app, machine_id, "delete_metadata", path, is_repeatable=True, has_reply=False)
        await self._api.send(call, nothing)

    async def list_events(self, app: str, machine_id: str, *, limit: int = 50) -> tuple[Event, ...]:
        """Return the machine's retained events, newest first, at most 50."""
        call = on_machine("GET", app, machine_id, "list_events", "/events", query={"limit": limit}, is_repeatable=True)
        return await self._api.send(call, list_of_events_from_json)

    async def list_versions(self, app: str, machine_id: str) -> tuple[MachineVersion, ...]:
        """Return the machine's retained versions, with configs as sent, in server order."""
        call = on_machine("GET", app, machine_id, "list_versions", "/versions", is_repeatable=True)
        return await self._api.send(call, wire.versions_from_json)
