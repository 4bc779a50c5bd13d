"""The engine: every call of the API as a method, on apps and machines. Windows of time run on the clock handed in."""

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from reconciler.clock import Clock
from reconciler.engine import config as configs
from reconciler.engine.adversity import Adversity, refusal
from reconciler.engine.behaviour import Settings
from reconciler.engine.changes import Changes
from reconciler.engine.errors import Refused, bad_request, name_taken, not_found
from reconciler.engine.exits import UNKNOWN_EXIT, exit_request
from reconciler.engine.leases import Leases
from reconciler.engine.lifecycle import effect_of
from reconciler.engine.records import RESTING, RUNNING, App, Machine, new_machine_id, new_ulid
from reconciler.engine.runtime import Ended, Executed, Left, Runtime
from reconciler.engine.store import Store
from reconciler.engine.supervisor import Supervisor
from reconciler.engine.transitions import Transitions, check_metadata
from reconciler.engine.views import Views
from reconciler.engine.waits import Wait

_APP_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MACHINE_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")


class Engine:
    """Apps and machines. `start` settles what a killed engine left; `close` ends what runs.

    `watch`, where given, is told of every machine after each of its changes.
    """

    def __init__(
        self,
        *,
        database: Path | str,
        runtime: Runtime,
        clock: Clock,
        settings: Settings | None = None,
        adversity: Adversity | None = None,
        watch: Callable[[Machine], None] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.adversity = adversity or Adversity()
        self.clock = clock
        self.runtime = runtime
        self.store = Store(database)
        self._watch = watch
        self._changes = Changes(clock)
        self._views = Views(clock, self.settings.latency.list_lag_s, self.store.machine)
        self._runs = Supervisor(
            self.store, runtime, clock, self._changed, settings=self.settings, adversity=self.adversity
        )
        takes_expired = self.settings.behaviour.takes_expired_nonce
        self.leases = Leases(clock, self._changes, self.machine, self._runs.save, takes_expired_nonce=takes_expired)
        self._transitions = Transitions(self.store, self._runs, self.leases, runtime, clock, self.settings)

    async def start(self) -> None:
        unsettled = [
            machine
            for machine in self.store.machines()
            if not machine.is_destroyed and (machine.state not in RESTING or not machine.is_prepared)
        ]
        left = {machine.id: Left(number=machine.runs, pids=machine.pids) for machine in unsettled}
        ends = await self.runtime.recover(left)
        for machine in unsettled:
            self._settle_after_crash(machine, ends.get(machine.id, UNKNOWN_EXIT))
        self.store.trim_logs()
        for machine in self.store.machines():
            policy = (machine.config.get("restart") or {}).get("policy")
            if machine.state == "stopped" and machine.should_run and policy == "always":
                await self._runs.start(machine)

    def _settle_after_crash(self, machine: Machine, ended: Ended) -> None:
        """What was running has ended; what was on its way has arrived."""
        settled = replace(machine, state="stopped", is_prepared=True, pids=())
        if machine.state == "destroying":
            self._runs.destroyed(machine)
        elif machine.state in RUNNING:
            request = exit_request(ended, self._runs.now_ms())
            self._runs.save(settled, event=self._runs.event("exit", "stopped", "flyd", request))
        else:
            self._runs.save(settled)

    def begin_close(self) -> None:
        """Ends the waits, so that their connections end too."""
        self._changes.close()

    async def close(self) -> None:
        self.begin_close()
        await self._runs.close()
        await self.runtime.close()
        self.store.close()

    def _changed(self, machine_id: str) -> None:
        self._changes.notify(machine_id)
        self._views.note(machine_id)
        machine = self.store.machine(machine_id)
        if self._watch and machine:
            self._watch(machine)

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
            if machine.state != "destroying":
                self._transitions.destroy_now(machine)
        self.store.remove_app(name)

    # Machines

    def machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """The app's machines as they are."""
        self.app(app)
        return [machine for machine in self.store.machines(app) if with_destroyed or not machine.is_destroyed]

    def listed_machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """The app's machines as a list shows them, which may lag."""
        seen = [self._views.listed(machine) for machine in self.machines(app, with_destroyed=True)]
        return [machine for machine in seen if machine and (with_destroyed or not machine.is_destroyed)]

    def machine(self, app: str, machine_id: str) -> Machine:
        self.app(app)
        machine = self.store.machine(machine_id)
        if machine is None or machine.app != app:
            raise not_found("machine")
        return machine

    def is_unreachable(self, machine: Machine) -> bool:
        """Whether the machine's host is down."""
        return self._runs.is_struck("host_unreachable", machine)

    def create(self, app: str, body: dict[str, Any]) -> Machine:
        self.app(app)
        config = configs.checked(body.get("config"))
        check_metadata(config.get("metadata") or {}, self.settings.behaviour.metadata_limit_bytes)
        region = configs.concrete_region(body.get("region"))
        name = body.get("name") or f"machine-{secrets.token_hex(4)}"
        if not isinstance(name, str) or not _MACHINE_NAME.fullmatch(name):
            raise bad_request("invalid machine name")
        self._check_name(app, name)
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
            machine = replace(
                machine, lease=self.leases.new(machine, configs.whole(body["lease_ttl"], "lease_ttl"), "")
            )
        launch = self._runs.event("launch", "created", "user")
        machine = self._runs.save(machine, event=launch, is_new_version=True)
        self._transitions.prepare(machine)
        return machine

    def _check_name(self, app: str, name: str) -> None:
        behaviour = self.settings.behaviour
        if not behaviour.enforces_names:
            return
        for other in self.store.machines(app):
            is_held = other.state != "destroying" or behaviour.holds_name_while_destroying
            if other.name == name and not other.is_destroyed and is_held:
                raise name_taken(other.id, name)

    async def update(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> Machine:
        return await self._transitions.update(self._reachable(app, machine_id), body, nonce)

    async def start_machine(self, app: str, machine_id: str, nonce: str | None) -> dict[str, Any]:
        return await self._transitions.start(self._reachable(app, machine_id), nonce)

    async def stop_machine(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> None:
        await self._transitions.stop(self._reachable(app, machine_id), body, nonce)

    async def execute(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None = None) -> Executed:
        """What a command did on the running machine. Raises Refused."""
        words, stdin, timeout_s = configs.exec_request(body)
        machine = await self.leases.admit("exec", self._reachable(app, machine_id), nonce)
        effect_of("exec", machine.state)
        try:
            done = await self._runs.execute(machine.id, words, stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as error:
            raise Refused(408, f"deadline_exceeded: the command did not end within {timeout_s:g}s") from error
        if done is None:
            raise Refused(412, "failed_precondition: machine is not started")
        return done

    async def destroy(self, app: str, machine_id: str, nonce: str | None, *, force: bool) -> None:
        machine = self.machine(app, machine_id) if force else self._reachable(app, machine_id)
        await self._transitions.destroy(machine, nonce, force=force)

    def vanish(self, machine: Machine) -> None:
        """Someone else destroys the machine, with force."""
        if not machine.is_destroyed and machine.state != "destroying":
            self._transitions.destroy_now(machine)

    async def start_unleased(self, machine: Machine) -> None:
        """Someone starts the machine without heeding its lease."""
        if machine.state in RESTING and machine.is_prepared:
            await self._transitions.begin(machine)

    def set_metadata(self, app: str, machine_id: str, values: dict[str, Any]) -> None:
        """Sets keys; null or an empty string takes one away. Makes no version, and no lease stops it."""
        machine = self._reachable(app, machine_id)
        behaviour = self.settings.behaviour
        if machine.is_destroyed:
            raise not_found("machine")
        if not behaviour.takes_metadata_at_rest and machine.state in RESTING:
            raise Refused(412, "failed_precondition: machine is not started")
        metadata = dict(machine.config.get("metadata") or {})
        for key, value in values.items():
            if value is not None and not isinstance(value, str):
                raise bad_request("a metadata value must be a string")
            if value:
                metadata[key] = value
            else:
                metadata.pop(key, None)
        check_metadata(metadata, behaviour.metadata_limit_bytes)
        self._runs.save(replace(machine, config=machine.config | {"metadata": metadata}))

    def versions(self, app: str, machine_id: str) -> list[tuple[str, Any]]:
        """Each version of the machine with its config as it was sent, newest first."""
        versions = self.store.versions(self.machine(app, machine_id).id)
        if self.settings.behaviour.keeps_user_config:
            return versions
        return [(version, None) for version, _ in versions]

    async def wait(self, app: str, machine_id: str, wait: Wait) -> Machine:
        """The machine once the wait is over. Raises Refused."""
        wait.check()
        if wait.from_event_id and not self.settings.behaviour.heeds_from_event_id:
            wait = replace(wait, from_event_id=None)

        def reached() -> Machine | None:
            machine = self.machine(app, machine_id)
            return machine if wait.is_over(machine) else None

        machine = await self._changes.until(machine_id, reached, wait.timeout_s)
        if machine is None:
            raise wait.expired(self.machine(app, machine_id))
        return machine

    def _reachable(self, app: str, machine_id: str) -> Machine:
        """The machine for a call that its host would have to carry out. Raises Refused."""
        machine = self.machine(app, machine_id)
        if self.is_unreachable(machine):
            raise refusal("upstream_timeout")
        return machine
