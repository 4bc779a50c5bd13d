"""The engine: every call of the API as a method, on apps and machines. Windows of time run on the clock handed in."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from reconciler.clock import Clock
from reconciler.engine import config as configs
from reconciler.engine.changes import Changes
from reconciler.engine.errors import Refused, bad_request, name_taken, not_found
from reconciler.engine.leases import Leases
from reconciler.engine.lifecycle import effect_of
from reconciler.engine.records import RESTING, RUNNING, App, Machine, new_machine_id, new_ulid
from reconciler.engine.runtime import Runtime
from reconciler.engine.store import Store
from reconciler.engine.supervisor import Supervisor, unknown_exit

_APP_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MACHINE_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")
_OWNER: Final = "local@tokens.fly.io"
_DEFAULT_LEASE_S: Final = 120
_WAIT_STATES: Final = frozenset({"started", "stopped", "suspended", "destroyed", "failed", "settled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the engine behaves; times in seconds. Short by default; the platform's own are seconds."""

    prepare_s: float = 0.05  # `created` until a new machine's image is ready
    replace_s: float = 0.03  # `replacing` after an update
    restart_delay_s: float = 0.2  # before the first restart; doubles
    kill_timeout_s: float = 5.0  # from the stop signal to the kill


class Engine:
    """Apps and machines. `start` settles what a killed engine left; `close` ends what runs."""

    def __init__(
        self, *, database: Path | str, runtime: Runtime, clock: Clock, settings: Settings | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.runtime = runtime
        self.store = Store(database)
        self._changes = Changes(clock)
        self._runs = Supervisor(
            self.store, runtime, clock, self._changes.notify, first_delay_s=self.settings.restart_delay_s
        )
        self.leases = Leases(clock, self._changes, self.machine, self._runs.save)

    async def start(self) -> None:
        for machine in self.store.machines():
            if not machine.is_destroyed and (machine.state not in RESTING or not machine.is_prepared):
                self._settle_after_crash(machine)
        self.store.trim_logs()
        for machine in self.store.machines():
            policy = (machine.config.get("restart") or {}).get("policy")
            if machine.state == "stopped" and machine.should_run and policy == "always":
                await self._runs.start(machine)

    def _settle_after_crash(self, machine: Machine) -> None:
        """What was running has ended, and nobody saw how; what was on its way has arrived."""
        self.runtime.reap(machine.pids)
        settled = replace(machine, state="stopped", is_prepared=True, pids=())
        if machine.state == "destroying":
            self._runs.destroyed(machine)
        elif machine.state in RUNNING:
            request = unknown_exit(self._runs.now_ms())
            self._runs.save(settled, event=self._runs.event("exit", "stopped", "flyd", request))
        else:
            self._runs.save(settled)

    def begin_close(self) -> None:
        """Ends the waits, so that their connections end too."""
        self._changes.close()

    async def close(self) -> None:
        self.begin_close()
        await self._runs.close()
        self.store.close()

    # Apps

    def create_app(self, name: Any, org: Any) -> App:
        if not isinstance(org, str) or not org:
            raise bad_request("org_slug is required")
        if not isinstance(name, str) or not _APP_NAME.fullmatch(name):
            raise Refused(422, "Validation failed: Name may only contain numbers, lowercase letters and dashes")
        if name in self.store.apps:
            raise Refused(422, "Validation failed: Name has already been taken", "name_taken")
        app = App(name=name, org=org, created_ms=self._runs.now_ms())
        self.store.add_app(app)
        return app

    def app(self, name: str) -> App:
        if name not in self.store.apps:
            raise not_found("app")
        return self.store.apps[name]

    async def delete_app(self, name: str) -> None:
        self.app(name)
        for machine in self.machines(name):
            await self._destroy_now(machine)
        self.store.remove_app(name)

    # Machines

    def machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        self.app(app)
        return [machine for machine in self.store.machines(app) if with_destroyed or not machine.is_destroyed]

    def machine(self, app: str, machine_id: str) -> Machine:
        self.app(app)
        machine = self.store.machine(machine_id)
        if machine is None or machine.app != app:
            raise not_found("machine")
        return machine

    def create(self, app: str, body: dict[str, Any]) -> Machine:
        self.app(app)
        config = configs.checked(body.get("config"))
        region = configs.concrete_region(body.get("region"))
        name = body.get("name") or f"machine-{secrets.token_hex(4)}"
        if not isinstance(name, str) or not _MACHINE_NAME.fullmatch(name):
            raise bad_request("invalid machine name")
        for other in self.machines(app):
            if other.name == name:
                raise name_taken(other.id, name)
        now_ms = self._runs.now_ms()
        machine = Machine(
            id=new_machine_id(),
            app=app,
            name=name,
            region=region,
            state="created",
            instance_id=new_ulid(now_ms),
            config=config,
            created_ms=now_ms,
            updated_ms=now_ms,
            should_run=not body.get("skip_launch"),
            is_cordoned=bool(body.get("skip_service_registration")),
        )
        if body.get("lease_ttl"):
            machine = replace(machine, lease=self.leases.new(machine, int(body["lease_ttl"]), ""))
        launch = self._runs.event("launch", "created", "user")
        machine = self._runs.save(machine, event=launch, is_new_version=True)
        self._runs.in_background(self._prepare(machine.id))
        return machine

    async def _prepare(self, machine_id: str) -> None:
        await self.clock.sleep(self.settings.prepare_s)
        machine = self.store.machine(machine_id)
        if machine is None or machine.state != "created":
            return
        machine = self._runs.save(replace(machine, state="stopped", is_prepared=True))
        if machine.should_run:
            await self._runs.start(machine)

    async def update(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> Machine:
        machine = self.machine(app, machine_id)
        self.leases.require(machine, nonce)
        config = configs.checked(body.get("config"))
        expected = body.get("current_version")
        if expected and expected != machine.instance_id:
            text = f"current_version {expected} is not the machine's current version {machine.instance_id}"
            raise Refused(412, f"failed_precondition: {text}")
        effect = effect_of("update", machine.state)
        if _volumes(config) != _volumes(machine.config):
            raise bad_request("unable to change the volume of a mount; destroy and recreate the machine")
        updated = replace(
            machine,
            state="replacing",
            instance_id=new_ulid(self._runs.now_ms()),
            config=config,
            should_run=machine.should_run if effect == "reboot" else False,
        )
        event = self._runs.event("update", "replacing", "user")
        updated = self._runs.save(updated, event=event, is_new_version=True)
        self._runs.in_background(self._finish_update(updated, is_running=effect == "reboot"))
        return updated

    async def _finish_update(self, machine: Machine, *, is_running: bool) -> None:
        if is_running:
            await self._runs.stop(machine.id, *configs.stop_rule(machine.config, {}, self.settings.kill_timeout_s))
        await self.clock.sleep(self.settings.replace_s)
        current = self.store.machine(machine.id)
        if current is None or current.state != "replacing":
            return
        current = self._runs.save(replace(current, state="stopped", is_prepared=True))
        if is_running:
            await self._runs.start(current)

    async def start_machine(self, app: str, machine_id: str, nonce: str | None) -> dict[str, Any]:
        machine = self.machine(app, machine_id)
        self.leases.require(machine, nonce)
        if effect_of("start", machine.state) == "start":
            if not configs.command_lines(machine.config):
                name = self.runtime.name
                raise bad_request(f"the {name} runtime does not use the image: the config needs a command")
            await self._runs.start(machine)
        return {"previous_state": machine.state, "migrated": False, "new_host": ""}

    async def stop_machine(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> None:
        machine = self.machine(app, machine_id)
        rule = configs.stop_rule(machine.config, body, self.settings.kill_timeout_s)
        machine = await self.leases.past_foreign(machine, nonce)
        match effect_of("stop", machine.state):
            case "stop":
                event = self._runs.event("stop", "stopping", "user")
                self._runs.save(replace(machine, state="stopping", should_run=False), event=event)
                self._runs.in_background(self._stop_then_rest(machine.id, *rule))
            case "discard":
                self._runs.save(replace(machine, state="stopped"))

    async def _stop_then_rest(self, machine_id: str, number: int, timeout_s: float) -> None:
        await self._runs.stop(machine_id, number, timeout_s)
        machine = self.store.machine(machine_id)
        if machine and machine.state == "stopping":  # it was between two starts: nothing ran
            self._runs.save(replace(machine, state="stopped"))

    async def destroy(self, app: str, machine_id: str, nonce: str | None, *, force: bool) -> None:
        machine = await self.leases.past_foreign(self.machine(app, machine_id), nonce)
        if effect_of("kill" if force else "destroy", machine.state) == "destroy":
            await self._destroy_now(machine)

    async def _destroy_now(self, machine: Machine) -> None:
        event = self._runs.event("destroy", "destroying", "user")
        self._runs.save(replace(machine, state="destroying"), event=event)
        self._runs.in_background(self._finish_destroy(machine.id))

    async def _finish_destroy(self, machine_id: str) -> None:
        await self._runs.stop(machine_id, 9, 0)
        machine = self.store.machine(machine_id)
        if machine and not machine.is_destroyed:
            self._runs.destroyed(machine)

    def set_metadata(self, app: str, machine_id: str, values: dict[str, Any]) -> None:
        """Sets keys; null or an empty string takes one away. Makes no version, and no lease stops it."""
        machine = self.machine(app, machine_id)
        if machine.is_destroyed:
            raise not_found("machine")
        metadata = dict(machine.config.get("metadata") or {})
        for key, value in values.items():
            if value is not None and not isinstance(value, str):
                raise bad_request("a metadata value must be a string")
            if value:
                metadata[key] = value
            else:
                metadata.pop(key, None)
        self._runs.save(replace(machine, config=machine.config | {"metadata": metadata}))

    # Waits

    async def wait(
        self,
        app: str,
        machine_id: str,
        *,
        states: Sequence[str],
        timeout_s: int,
        version: str | None,
        from_event_id: str | None,
    ) -> Machine:
        """The machine once it is, or after the event has been, in one of the states. Raises Refused."""
        if not 1 <= timeout_s <= 60:
            raise bad_request("invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]")
        if not set(states) <= _WAIT_STATES:
            raise bad_request(f"invalid state: {', '.join(states)}")
        wanted = set(states) | (RESTING | {"started"} if "settled" in states else set())

        def reached() -> Machine | None:
            machine = self.machine(app, machine_id)
            if version and version != machine.instance_id:
                raise Refused(400, f"machine failed to reach desired state, {states[0]}, currently replaced")
            return machine if _is_reached(machine, wanted, from_event_id) else None

        timeout_text = "deadline_exceeded: machine failed to reach desired state, {}, currently {}"
        machine = await self._changes.until(machine_id, reached, timeout_s)
        if machine is None:
            raise Refused(408, timeout_text.format(states[0], self.machine(app, machine_id).state))
        return machine


def _is_reached(machine: Machine, wanted: set[str], from_event_id: str | None) -> bool:
    ids = [event.id for event in machine.events]
    if not from_event_id or from_event_id not in ids:
        return machine.state in wanted
    newer = machine.events[: ids.index(from_event_id)]
    if not newer:
        return False
    entered = {event.status for event in newer if not (event.request or {}).get("exit_event", {}).get("restarting")}
    return machine.state in wanted or bool(entered & wanted)


def _volumes(config: dict[str, Any]) -> list[Any]:
    return [mount.get("volume") for mount in config.get("mounts") or [] if isinstance(mount, dict)]
