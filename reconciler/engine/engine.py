"""The engine: each call of the Machines API as a method, without HTTP.

It checks that the app and the machine exist and are reachable. `Transitions` then changes a machine's state, and
`GuestCalls` reaches into a running machine.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.addresses import Addresses
from reconciler.engine.apps import created_app
from reconciler.engine.config.read import limits_of, whole_number
from reconciler.engine.errors import bad_request, not_found
from reconciler.engine.faults.rules import FaultRules, api_fault
from reconciler.engine.faults.settings import Settings
from reconciler.engine.machines.create import MachineCreator
from reconciler.engine.machines.lags import NewImages, StaleLists
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.metadata import write_metadata
from reconciler.engine.machines.recovery import recover
from reconciler.engine.machines.runner import Runner
from reconciler.engine.machines.transitions import Transitions
from reconciler.engine.machines.wait import Wait, Watchers
from reconciler.engine.models import RESTING, App, Machine, ulid_ms
from reconciler.engine.releases import Releases
from reconciler.engine.runtime.base import Runtime
from reconciler.engine.runtime.exec import GuestCalls
from reconciler.engine.secrets import Secrets
from reconciler.engine.services.checks import CheckResults
from reconciler.engine.store.store import Store
from reconciler.engine.volumes import Volumes


class Engine:
    """Apps and machines.

    `start` settles what an engine that was killed left; `close` ends what runs. Methods that are calls of the API raise
    ApiFault where Fly would answer with an error. `on_change` is called with each machine whose record or log has
    changed; `volumes` is the directory of volumes.
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
        self.settings: Settings = settings or Settings()
        self.faults: FaultRules = faults or FaultRules()
        self.clock = clock
        self.runtime = runtime
        self.store: Store = Store(database)
        self.secrets: Secrets = Secrets(self.store, clock)
        self.volumes: Volumes = Volumes(self.store, clock, volumes)
        self.addresses: Addresses = Addresses(self.store, clock)
        self.releases: Releases = Releases(self.store, clock)
        self.watchers: Watchers = Watchers(clock)
        self.check_results: CheckResults = CheckResults(self.watchers.notify)
        self._subscribers = [on_change] if on_change else []
        self._stale_lists = StaleLists(clock, self.settings.latency.list_lag_s, self.store.machine)
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
        save, behaviour = self._runner.recorder.save, self.settings.behaviour
        self.leases: Leases = Leases(
            clock, self.watchers, self.machine, save, takes_expired_nonce=behaviour.takes_expired_nonce
        )
        self.guest: GuestCalls = GuestCalls(self._runner, self.leases, self._reachable, runtime)
        images = NewImages(clock, self.settings.latency.manifest_s)
        self._transitions = Transitions(
            self.store, self._runner, self.leases, runtime, clock, self.settings, self.secrets, images
        )
        self._creator = MachineCreator(
            self.store, self._runner, self.leases, clock, behaviour, self.secrets, self.volumes, images
        )

    # Life of the engine

    async def start(self) -> None:
        """Settle what a killed engine left; restart machines with policy `always`."""
        await recover(self.store, self._runner, self.runtime, self.clock)

    def begin_close(self) -> None:
        """End the long polls, so that their connections end."""
        self.watchers.close()

    async def close(self) -> None:
        """End everything that runs, and close the database."""
        self.begin_close()
        await self._runner.close()
        await self.runtime.close()
        self.store.close()

    def _changed(self, machine_id: str) -> None:
        self.watchers.notify(machine_id)
        self._stale_lists.note(machine_id)
        machine = self.store.machine(machine_id)
        if machine:
            for subscriber in tuple(self._subscribers):
                subscriber(machine)

    def subscribe(self, subscriber: Callable[[Machine], None]) -> Callable[[], None]:
        """Call the subscriber with each changed machine; return what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    # Apps

    def create_app(self, name: Any, org: Any, *, network: Any = None, idempotency_key: Any = None) -> App:
        """Return a new app, or the one that the same idempotency key created."""
        return created_app(self.store, self.clock, name, org, network=network, idempotency_key=idempotency_key)

    def app(self, name: str) -> App:
        """Return the app of this name."""
        if name not in self.store.apps:
            raise not_found("app")
        return self.store.apps[name]

    def organizations(self) -> list[str]:
        """Return the slugs of the organizations: the personal one, and those of the apps."""
        return sorted({"personal", *(app.org for app in self.store.apps.values())})

    def is_propagating(self, name: str) -> bool:
        """Return whether the app is too new for calls on it (latency `propagate_s`)."""
        app = self.store.apps.get(name)
        return app is not None and now_ms(self.clock) < app.created_ms + self.settings.latency.propagate_s * 1000

    async def delete_app(self, name: str) -> None:
        """Delete the app with all that it has; running machines are killed."""
        self.app(name)
        for machine in self.machines(name):
            if machine.state != "destroying":
                self._transitions.destroy_now(machine)
        self.volumes.forget(name)
        self.secrets.forget(name)
        self.addresses.forget(name)
        self.releases.forget(name)
        self.store.remove_app(name)

    # Machines: reading

    def machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """Return the app's machines as they are now."""
        self.app(app)
        return [machine for machine in self.store.machines(app) if with_destroyed or not machine.is_destroyed]

    def listed_machines(self, app: str, *, with_destroyed: bool = False) -> list[Machine]:
        """Return the app's machines as the API lists them, which may be stale."""
        seen = [self._stale_lists.listed(machine) for machine in self.machines(app, with_destroyed=True)]
        return [machine for machine in seen if machine and (with_destroyed or not machine.is_destroyed)]

    def machine(self, app: str, machine_id: str) -> Machine:
        """Return one machine."""
        self.app(app)
        machine = self.store.machine(machine_id)
        if machine is None or machine.app != app:
            raise not_found("machine")
        return machine

    def is_unreachable(self, machine: Machine) -> bool:
        """Return whether the machine's host is down, by a fault rule."""
        return bool(self.faults.rules) and self._runner.has_fault("host_unreachable", machine)

    def machine_at(self, app: str, machine_id: str, version: str) -> Machine:
        """Return the machine in this version. The state of an old version is `replaced`."""
        machine = self.machine(app, machine_id)
        if version == machine.instance_id:
            return machine
        config = self.store.version(machine.id, version)
        if config is None:
            raise not_found("machine version")
        return replace(machine, instance_id=version, config=config, state="replaced", updated_ms=ulid_ms(version))

    def versions(self, app: str, machine_id: str) -> list[tuple[str, Any]]:
        """Return each version of the machine with the config that was sent, newest first."""
        versions = self.store.versions(self.machine(app, machine_id).id)
        if self.settings.behaviour.keeps_user_config:
            return versions
        return [(version, None) for version, _ in versions]

    async def wait(self, app: str, machine_id: str, wait: Wait) -> Machine:
        """Return the machine once the wait is over."""
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
        """Return the machine for a call that its host has to carry out."""
        machine = self.machine(app, machine_id)
        if self.is_unreachable(machine):
            raise api_fault("upstream_timeout")
        return machine

    # Machines: calls of the API; who is allowed to make them is decided in `machines/call_rules.py`

    def create(self, app: str, body: dict[str, Any]) -> Machine:
        """Create a machine, and start it in the background unless `body` says otherwise."""
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

    async def destroy(self, app: str, machine_id: str, nonce: str | None, *, force: bool) -> None:
        machine = self.machine(app, machine_id) if force else self._reachable(app, machine_id)
        await self._transitions.destroy(machine, nonce, force=force)

    def limit_memory(self, app: str, machine_id: str, limit_mb: Any) -> Machine:
        """Record a memory limit, which has no effect here."""
        machine = self._reachable(app, machine_id)
        most_mb = limits_of(machine.config).memory_mb
        limit = whole_number(limit_mb, "limit_mb")
        if not 1 <= limit <= most_mb:
            raise bad_request(f"limit_mb must be between 1 and {most_mb}")
        return self._runner.recorder.save(replace(machine, memory_limit_mb=limit))

    def set_metadata(self, app: str, machine_id: str, values: dict[str, Any], version: Any = None) -> None:
        """Set keys of the machine's metadata, without a new version: see write_metadata.

        The reports of its checks begin anew.
        """
        machine = self._reachable(app, machine_id)
        machine = self._runner.recorder.save(write_metadata(machine, values, version, self.settings.behaviour))
        self.check_results.reset(machine)

    # Machines: what happens without a call

    async def start_unleased(self, machine: Machine) -> None:
        """Start the machine whatever its lease, as the proxy does (assumption A12)."""
        if machine.state in RESTING and machine.is_prepared:
            await self._transitions.begin(machine)

    async def stop_unleased(self, machine: Machine, *, how: str) -> None:
        """Stop an idle machine without asking for its lease; `how` is stop or suspend."""
        if how == "suspend":
            await self._runner.suspend(machine)
        else:
            self._transitions.stop_unleased(machine)

    def vanish(self, machine: Machine) -> None:
        """Destroy the machine with force, as another user would."""
        if not machine.is_destroyed and machine.state != "destroying":
            self._transitions.destroy_now(machine)

    def forget(self, machine: Machine) -> None:
        """Remove the record of a destroyed machine, and all that it left."""
        self._runner.forget(machine.id)
        self._stale_lists.forget(machine.id)
        self.store.forget(machine)
