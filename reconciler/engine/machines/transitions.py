"""Carry out the calls that change a machine's state: start, stop, update…

Each call asks its lease (`Leases.admit`), then the rules (`decide`), and only then acts; what takes time goes on in the
background, with the platform's delays (`Latency`).
"""

import asyncio
import sqlite3
from signal import SIGKILL
from typing import Any

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import check_config, commands_of, stop_rule, volumes_of
from reconciler.engine.errors import ApiFault, bad_request
from reconciler.engine.faults.settings import Settings
from reconciler.engine.machines.call_rules import STILL_ACTIVE, Effect, decide
from reconciler.engine.machines.lags import NewImages
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.metadata import updated_config
from reconciler.engine.machines.runner import Runner
from reconciler.engine.models import Machine, new_ulid
from reconciler.engine.runtime.base import Runtime
from reconciler.engine.secrets import Secrets
from reconciler.engine.store.store import Store


class Transitions:
    """The calls that move a machine from state to state.

    Each raises ApiFault where it is refused.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        leases: Leases,
        runtime: Runtime,
        clock: Clock,
        settings: Settings,
        secrets: Secrets,
        images: NewImages,
    ) -> None:
        self._store = store
        self._runner = runner
        self._leases = leases
        self._runtime = runtime
        self._clock = clock
        self._secrets = secrets
        self._images = images
        self._latency = settings.latency
        self._behaviour = settings.behaviour

    def prepare(self, machine: Machine) -> None:
        """Prepare a new machine in the background, then start it or leave it stopped."""
        self._runner.in_background(self._prepare(machine.id))

    async def _prepare(self, machine_id: str) -> None:
        await self._clock.sleep(self._latency.prepare_s)
        machine = self._store.machine(machine_id)
        if machine and machine.state == "created":
            await self._runner.prepare(machine)
            machine = self._store.machine(machine_id)
        if machine is None or machine.state != "created":
            return
        state = "stopped" if machine.should_run or self._behaviour.settles_created else "created"
        machine = self._runner.recorder.record(replace(machine, state=state, is_prepared=True))
        if machine.should_run:
            await self._runner.start_eventually(machine)

    async def start(self, machine: Machine, nonce: str | None) -> dict[str, Any]:
        """Start the machine, and return the body of the reply.

        Refused by the lease (409), by the machine's state (412, 404), or for want of a command (400).
        """
        machine = await self._leases.admit("start", machine, nonce)
        previous = machine.state if self._behaviour.tells_previous_state else "stopped"
        if decide("start", self._exact_state(machine)) is Effect.START:
            if not self._runtime.uses_image and not any(one.words for one in commands_of(machine.config)):
                why = f"the {self._runtime.name} runtime does not use the image: the config needs a command"
                raise bad_request(why)
            if not self._runner.has_fault("drop_start", machine):
                await self.begin(machine)
        return {"previous_state": previous, "migrated": False, "new_host": ""}

    async def begin(self, machine: Machine) -> None:
        """Start the machine, even if the caller of the API hangs up meanwhile."""
        if not self._latency.start_s:
            await self._start_or_stop(machine)
            return
        machine = self._runner.recorder.save(replace(machine, state="starting", should_run=True))
        done = asyncio.Event()
        self._runner.in_background(self._begin_later(machine, done))
        await done.wait()

    async def _begin_later(self, machine: Machine, done: asyncio.Event) -> None:
        try:
            await self._clock.sleep(self._latency.start_s)
            current = self._store.machine(machine.id)
            if current and current.state == "starting" and current.instance_id == machine.instance_id:
                await self._start_or_stop(current)
        finally:
            done.set()

    async def _start_or_stop(self, machine: Machine) -> None:
        """Start the machine.

        Where the start cannot be recorded, stop it and raise sqlite3.Error.
        """
        try:
            await self._runner.start(machine)
        except sqlite3.Error:
            current = self._store.machine(machine.id)
            if current and current.state == "starting":
                self._runner.recorder.record(replace(current, state="stopped", should_run=False))
            raise

    async def stop(self, machine: Machine, body: dict[str, Any], nonce: str | None) -> None:
        """Stop the machine in the background; `body` may give signal and timeout."""
        rule = stop_rule(machine.config, body, self._latency.kill_timeout_s)
        machine = await self._leases.admit("stop", machine, nonce)
        effect = decide("stop", machine.state)
        if effect is Effect.STOP:
            event = self._runner.recorder.new_event("stop", "stopping", "user")
            self._runner.recorder.save(replace(machine, state="stopping", should_run=False), event=event)
            self._runner.in_background(self._finish_stop(machine.id, *rule))
        elif effect is Effect.DISCARD:
            self._runner.recorder.save(replace(machine, state="stopped"))
            self._runner.in_background(self._runner.stop(machine.id, SIGKILL, 0))

    def stop_unleased(self, machine: Machine) -> None:
        """Stop a started machine as the platform does: whatever its lease."""
        rule = stop_rule(machine.config, {}, self._latency.kill_timeout_s)
        event = self._runner.recorder.new_event("stop", "stopping", "flyd")
        self._runner.recorder.save(replace(machine, state="stopping", should_run=False), event=event)
        self._runner.in_background(self._finish_stop(machine.id, *rule))

    async def _finish_stop(self, machine_id: str, number: int, timeout_s: float) -> None:
        await self._runner.stop(machine_id, number, timeout_s)
        machine = self._store.machine(machine_id)
        if machine and machine.state == "stopping":  # nothing ran: it was between two starts
            self._runner.recorder.record(replace(machine, state="stopped"))

    async def restart(self, machine: Machine, query: dict[str, Any], nonce: str | None) -> None:
        """Stop and start the machine in the background; start one that does not run."""
        rule = stop_rule(machine.config, query, self._latency.kill_timeout_s)
        machine = await self._leases.admit("restart", machine, nonce)
        effect = decide("restart", self._exact_state(machine))
        if effect is Effect.RESTART:
            event = self._runner.recorder.new_event("restart", "restarting", "user")
            self._runner.recorder.save(replace(machine, state="restarting"), event=event)
            self._runner.in_background(self._stop_then_start(machine.id, *rule))
        elif effect is Effect.START:
            await self.start(machine, nonce)

    async def _stop_then_start(self, machine_id: str, number: int, timeout_s: float) -> None:
        await self._runner.stop(machine_id, number, timeout_s)
        machine = self._store.machine(machine_id)
        if machine and machine.state == "restarting":
            await self._runner.start_eventually(machine)

    async def suspend(self, machine: Machine, nonce: str | None) -> None:
        """Suspend the machine's commands."""
        machine = await self._leases.admit("suspend", machine, nonce)
        if decide("suspend", machine.state) is Effect.SUSPEND:
            await self._runner.suspend(machine)

    async def cordon(self, machine: Machine, nonce: str | None, *, is_cordoned: bool) -> None:
        """Take the machine out of its services, or put it back."""
        machine = await self._leases.admit("cordon", machine, nonce)
        decide("cordon", machine.state)
        self._runner.recorder.save(replace(machine, is_cordoned=is_cordoned))

    async def update(self, machine: Machine, body: dict[str, Any], nonce: str | None) -> Machine:
        """Replace the machine's config, and return the machine.

        A running one restarts in the background.
        """
        machine = await self._leases.admit("update", machine, nonce)
        config = check_config(body.get("config"))
        effect = decide("update", machine.state)
        self._check_version(machine, body.get("current_version"))
        if volumes_of(config) != volumes_of(machine.config):
            raise bad_request("unable to change the volume of a mount; destroy and recreate the machine")
        self._secrets.check_version(machine.app, body.get("min_secrets_version"))
        if config.get("image") != machine.config.get("image"):
            self._images.check(config)
        config = updated_config(machine, config, self._behaviour)
        updated = replace(
            machine,
            state="replacing",
            instance_id=new_ulid(now_ms(self._clock)),
            config=config,
            skips_secrets=bool(body.get("skip_secrets")),
            is_armed=bool(config.get("schedule")) and not body.get("skip_launch"),
            should_run=machine.should_run if effect is Effect.REBOOT else False,
        )
        event = self._runner.recorder.new_event("update", "replacing", "user")
        updated = self._runner.recorder.save(updated, event=event, is_new_version=True)
        if self._runner.has_fault("revert_update", machine):
            self._runner.in_background(self._revert(machine, updated))
        else:
            self._runner.in_background(self._finish_update(updated, is_running=effect is Effect.REBOOT))
        return updated

    def _check_version(self, machine: Machine, expected: Any) -> None:
        status = self._behaviour.stale_version_status
        if expected and expected != machine.instance_id and status:
            text = f"current_version {expected} is not the machine's current version {machine.instance_id}"
            raise ApiFault(status, f"failed_precondition: {text}")

    async def _finish_update(self, machine: Machine, *, is_running: bool) -> None:
        if is_running or self._runner.is_suspended(machine.id):
            await self._runner.stop(machine.id, *stop_rule(machine.config, {}, self._latency.kill_timeout_s))
        await self._clock.sleep(self._latency.replace_s)
        await self._runner.prepare(machine)
        current = self._store.machine(machine.id)
        if current is None or current.state != "replacing":
            return
        if self._latency.settle_s and not is_running:
            self._runner.recorder.record(replace(current, state="created", is_prepared=False))
            await self._clock.sleep(self._latency.settle_s)
            current = self._store.machine(machine.id)
            if current is None or current.state != "created":
                return
        current = self._runner.recorder.record(replace(current, state="stopped", is_prepared=True))
        if is_running:
            await self._runner.start_eventually(current)

    async def _revert(self, before: Machine, updated: Machine) -> None:
        """Revert an accepted update after a while, as the platform sometimes does."""
        await self._clock.sleep(self._latency.revert_s)
        current = self._store.machine(updated.id)
        if current is None or current.instance_id != updated.instance_id or current.is_destroyed:
            return
        reverted = replace(
            current,
            state="stopped" if before.state == "created" else before.state,
            is_prepared=True,
            config=before.config,
            instance_id=before.instance_id,
            should_run=before.should_run,
        )
        self._runner.recorder.record(reverted, event=self._runner.recorder.new_event("revert", reverted.state, "flyd"))

    async def destroy(self, machine: Machine, nonce: str | None, *, force: bool) -> None:
        """Destroy the machine in the background.

        A running one only with `force` (assumption A8).
        """
        machine = await self._leases.admit("kill" if force else "destroy", machine, nonce)
        call = "kill" if force or not self._behaviour.refuses_bare_delete else "destroy"
        if decide(call, self._exact_state(machine)) is Effect.DESTROY:
            self.destroy_now(machine)

    def destroy_now(self, machine: Machine) -> None:
        """Destroy the machine in the background, whatever its state and lease."""
        event = self._runner.recorder.new_event("destroy", "destroying", "user")
        self._runner.recorder.save(replace(machine, state="destroying"), event=event)
        self._runner.in_background(self._finish_destroy(machine.id))

    async def _finish_destroy(self, machine_id: str) -> None:
        await self._runner.stop(machine_id, 9, 0)
        await self._clock.sleep(self._latency.destroy_s)
        machine = self._store.machine(machine_id)
        if machine and not machine.is_destroyed:
            self._runner.record_destroyed(machine)

    def _exact_state(self, machine: Machine) -> str:
        """Return the state for the rules, more exact than the one that the API shows."""
        if machine.state == "created" and machine.is_prepared:
            return "stopped"
        if machine.state == "stopped" and self._runner.is_still_active(machine.id):
            return STILL_ACTIVE
        return machine.state
