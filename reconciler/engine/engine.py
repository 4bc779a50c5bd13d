"""The engine: every call of the API as a method, on apps and machines. Windows of time run on the clock handed in."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from reconciler.clock import Clock
from reconciler.engine.config.read import limits_of, whole_number
from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.faults.rules import FaultRules, api_fault
from reconciler.engine.faults.settings import Settings
from reconciler.engine.machines import metadata
from reconciler.engine.machines.create import MachineCreator
from reconciler.engine.machines.exit_events import UNKNOWN_EXIT, exit_request
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.runner import Runner
from reconciler.engine.machines.stale_lists import StaleLists
from reconciler.engine.machines.transitions import Transitions
from reconciler.engine.machines.wait import Wait
from reconciler.engine.machines.watch import Watchers
from reconciler.engine.models import RESTING, RUNNING, App, Machine
from reconciler.engine.runtime.base import Ended, Leftover, Runtime
from reconciler.engine.runtime.exec import GuestCalls
from reconciler.engine.secrets import Secrets
from reconciler.engine.services.check_results import CheckResults
from reconciler.engine.store.store import Store
from reconciler.engine.volumes import Volumes

_APP_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Engine:
    """Apps and machines. `start` settles what a killed engine left; `close` ends what runs.

    `on_change`, where given, is told of every machine after each of its changes; `volumes` is where volumes keep files.
    """

    def __init__(
        self,
        *,
        database: Path | str,
        runtime: Runtime,
        clock: Clock,
        settings: Settings | None = None,
        faults: FaultRules | None = None,
        on_change: Callable[[Machine], None] | None = None,
        volumes: Path | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.faults = faults or FaultRules()
        self.clock = clock
        self.runtime = runtime
        self.store = Store(database)
        self._subscribers = [on_change] if on_change else []
        self.watchers = Watchers(clock)
        self._stale_lists = StaleLists(clock, self.settings.latency.list_lag_s, self.store.machine)
        self.secrets = Secrets(self.store, clock)
        self.volumes = Volumes(self.store, clock, volumes)
        self._runner = Runner(
            self.store,
            runtime,
            clock,
            self._changed,
            settings=self.settings,
            faults=self.faults,
            secrets=self.secrets,
            volumes=self.volumes,
        )
        takes_expired = self.settings.behaviour.takes_expired_nonce
        self.leases = Leases(clock, self.watchers, self.machine, self._runner.save, takes_expired_nonce=takes_expired)
        self.guest = GuestCalls(self._runner, self.leases, self._reachable, runtime)
        self.check_results = CheckResults(self.watchers.notify)
        self._transitions = Transitions(
            self.store, self._runner, self.leases, runtime, clock, self.settings, self.secrets
        )
        behaviour = self.settings.behaviour
        self._creator = MachineCreator(self.store, self._runner, self.leases, behaviour, self.secrets, self.volumes)

    async def start(self) -> None:
        unsettled = [
            machine
            for machine in self.store.machines()
            if not machine.is_destroyed and (machine.state not in RESTING or not machine.is_prepared or machine.pids)
        ]
        left = {machine.id: Leftover(number=machine.runs, pids=machine.pids) for machine in unsettled}
        ends = await self.runtime.recover(left)
        for machine in unsettled:
            self._settle_after_crash(machine, ends.get(machine.id, UNKNOWN_EXIT))
        for machine in self.store.machines():
            policy = (machine.config.get("restart") or {}).get("policy")
            if machine.state == "stopped" and machine.should_run and policy == "always":
                await self._runner.start(machine)

    def _settle_after_crash(self, machine: Machine, ended: Ended) -> None:
        """What was running has ended; what was on its way has arrived."""
        settled = replace(machine, state="stopped", is_prepared=True, pids=())
        if machine.state == "suspended":
            self._runner.save(replace(machine, pids=()))  # its next start is a cold one
        elif machine.state == "destroying":
            self._runner.destroyed(machine)
        elif machine.state in RUNNING:
            request = exit_request(ended, self._runner.now_ms())
            self._runner.save(settled, event=self._runner.event("exit", "stopped", "flyd", request))
        else:
            self._runner.save(settled)

    def begin_close(self) -> None:
        """Ends the waits, so that their connections end too."""
        self.watchers.close()

    async def close(self) -> None:
        self.begin_close()
        await self._runner.close()
        await self.runtime.close()
        self.store.close()

    def _changed(self, machine_id: str) -> None:
        self.watchers.notify(machine_id)
        self._stale_lists.note(machine_id)
        machine = self.store.machine(machine_id)
        if machine:
            for follower in tuple(self._subscribers):
                follower(machine)

    def subscribe(self, follower: Callable[[Machine], None]) -> Callable[[], None]:
        """Has the follower told of every machine after each of its changes; gives what ends that."""
        self._subscribers.append(follower)
        return lambda: self._subscribers.remove(follower)

    # Apps

    def create_app(self, name: Any, org: Any) -> App:
        if not isinstance(org, str) or not org:
            raise bad_request("org_slug is required")
        if not isinstance(name, str) or not _APP_NAME.fullmatch(name):
            raise ApiFault(422, "Validation failed: Name may only contain numbers, lowercase letters and dashes")
        if name in self.store.apps:
            raise ApiFault(422, "Validation failed: Name has already been taken", "name_taken")
        app = App(name=name, org=org, created_ms=self._runner.now_ms())
        self.store.add_app(app)
        return app

    def app(self, name: str) -> App:
        if name not in self.store.apps:
            raise not_found("app")
        return self.store.apps[name]

    def is_propagating(self, name: str) -> bool:
        """Whether the app was created so lately that calls on it are refused."""
        app = self.store.apps.get(name)
        return app is not None and self._runner.now_ms() < app.created_ms + self.settings.latency.propagate_s * 1000

    async def delete_app(self, name: str) -> None:
        self.app(name)
        for machine in self.machines(name):
            if machine.state != "destroying":
                self._transitions.destroy_now(machine)
        self.volumes.forget(name)
        self.secrets.forget(name)
        self.store.remove_app(name)

    # Machines

    def machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """The app's machines as they are."""
        self.app(app)
        return [machine for machine in self.store.machines(app) if with_destroyed or not machine.is_destroyed]

    def listed_machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """The app's machines as a list shows them, which may lag."""
        seen = [self._stale_lists.listed(machine) for machine in self.machines(app, with_destroyed=True)]
        return [machine for machine in seen if machine and (with_destroyed or not machine.is_destroyed)]

    def machine(self, app: str, machine_id: str) -> Machine:
        self.app(app)
        machine = self.store.machine(machine_id)
        if machine is None or machine.app != app:
            raise not_found("machine")
        return machine

    def is_unreachable(self, machine: Machine) -> bool:
        """Whether the machine's host is down."""
        return self._runner.has_fault("host_unreachable", machine)

    def create(self, app: str, body: dict[str, Any]) -> Machine:
        self.app(app)
        machine = self._creator.create(app, body)
        self._transitions.prepare(machine)
        return machine

    async def update(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> Machine:
        return await self._transitions.update(self._reachable(app, machine_id), body, nonce)

    async def start_machine(self, app: str, machine_id: str, nonce: str | None) -> dict[str, Any]:
        return await self._transitions.start(self._reachable(app, machine_id), nonce)

    async def stop_machine(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None) -> None:
        await self._transitions.stop(self._reachable(app, machine_id), body, nonce)

    async def restart(self, app: str, machine_id: str, query: dict[str, Any], nonce: str | None) -> None:
        await self._transitions.restart(self._reachable(app, machine_id), query, nonce)

    async def suspend(self, app: str, machine_id: str, nonce: str | None) -> None:
        await self._transitions.suspend(self._reachable(app, machine_id), nonce)

    async def cordon(self, app: str, machine_id: str, nonce: str | None, *, is_cordoned: bool) -> None:
        await self._transitions.cordon(self._reachable(app, machine_id), nonce, is_cordoned=is_cordoned)

    def limit_memory(self, app: str, machine_id: str, limit_mb: Any) -> Machine:
        """Remembers the limit, which has no effect here. Raises ApiFault."""
        machine = self._reachable(app, machine_id)
        most_mb = limits_of(machine.config).memory_mb
        limit = whole_number(limit_mb, "limit_mb")
        if not 1 <= limit <= most_mb:
            raise bad_request(f"limit_mb must be between 1 and {most_mb}")
        return self._runner.save(replace(machine, memory_limit_mb=limit))

    async def destroy(self, app: str, machine_id: str, nonce: str | None, *, force: bool) -> None:
        machine = self.machine(app, machine_id) if force else self._reachable(app, machine_id)
        await self._transitions.destroy(machine, nonce, force=force)

    def vanish(self, machine: Machine) -> None:
        """Someone else destroys the machine, with force."""
        if not machine.is_destroyed and machine.state != "destroying":
            self._transitions.destroy_now(machine)

    def forget(self, machine: Machine) -> None:
        """Leaves no trace of a machine that was destroyed."""
        self.runtime.forget(machine.id)  # again: an engine that was killed as it destroyed the machine did not
        self._stale_lists.forget(machine.id)
        self.store.forget(machine)

    async def start_unleased(self, machine: Machine) -> None:
        """Someone starts the machine without heeding its lease."""
        if machine.state in RESTING and machine.is_prepared:
            await self._transitions.begin(machine)

    async def rest_unleased(self, machine: Machine, *, how: str) -> None:
        """The platform lets an idle machine rest without heeding its lease; `how` is stop or suspend."""
        if how == "suspend":
            await self._runner.suspend(machine)
        else:
            self._transitions.rest(machine)

    def set_metadata(self, app: str, machine_id: str, values: dict[str, Any], version: Any = None) -> None:
        """Sets keys; null or an empty string takes one away. Makes no version, and no lease stops it. Raises ApiFault
        where a `version` is given that is not the machine's.
        """
        machine = self._reachable(app, machine_id)
        behaviour = self.settings.behaviour
        if machine.is_destroyed:
            raise not_found("machine")
        if version and version != machine.instance_id:
            raise api_fault("stale_metadata")
        if not behaviour.takes_metadata_at_rest and machine.state in RESTING:
            raise ApiFault(412, "failed_precondition: machine is not started")
        changed = metadata.changed(machine.config.get("metadata") or {}, values)
        metadata.check_size(changed, behaviour.metadata_limit_bytes)
        self._runner.save(replace(machine, config=machine.config | {"metadata": changed}))

    def versions(self, app: str, machine_id: str) -> list[tuple[str, Any]]:
        """Each version of the machine with its config as it was sent, newest first."""
        versions = self.store.versions(self.machine(app, machine_id).id)
        if self.settings.behaviour.keeps_user_config:
            return versions
        return [(version, None) for version, _ in versions]

    async def wait(self, app: str, machine_id: str, wait: Wait) -> Machine:
        """The machine once the wait is over. Raises ApiFault."""
        wait.check()
        if wait.from_event_id and not self.settings.behaviour.heeds_from_event_id:
            wait = replace(wait, from_event_id=None)

        def reached() -> Machine | None:
            machine = self.machine(app, machine_id)
            return machine if wait.is_over(machine) else None

        machine = await self.watchers.until(machine_id, reached, wait.timeout_s)
        if machine is None:
            raise wait.expired(self.machine(app, machine_id))
        return machine

    def _reachable(self, app: str, machine_id: str) -> Machine:
        """The machine for a call that its host would have to carry out. Raises ApiFault."""
        machine = self.machine(app, machine_id)
        if self.is_unreachable(machine):
            raise api_fault("upstream_timeout")
        return machine
