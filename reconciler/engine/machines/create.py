"""Create machines: check the request, and make the new machine's record."""

import re
import secrets as tokens
from typing import Any, Final

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import check_config, concrete_region, whole_number
from reconciler.engine.errors import bad_request, name_taken
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.faults.settings import Behaviour
from reconciler.engine.machines.lags import NewImages
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.metadata import check_size
from reconciler.engine.machines.runner import Runner
from reconciler.engine.models import Machine, new_machine_id, new_ulid
from reconciler.engine.secrets import Secrets
from reconciler.engine.store.store import Store
from reconciler.engine.volumes import Volumes

_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?")


class MachineCreator:
    """Make the records of new machines."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        leases: Leases,
        clock: Clock,
        behaviour: Behaviour,
        secrets: Secrets,
        volumes: Volumes,
        images: NewImages,
    ) -> None:
        self._store = store
        self._runner = runner
        self._leases = leases
        self._clock = clock
        self._behaviour = behaviour
        self._secrets = secrets
        self._volumes = volumes
        self._images = images

    def create(self, app: str, body: dict[str, Any]) -> Machine:
        """Return the new machine, which is on record and does not run yet.

        Raises ApiFault.
        """
        config = check_config(body.get("config"))
        check_size(config.get("metadata") or {}, self._behaviour)
        region = concrete_region(body.get("region"))
        name = body.get("name") or f"machine-{tokens.token_hex(4)}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("invalid machine name")
        self._check_name_is_free(app, name)
        self._secrets.check_version(app, body.get("min_secrets_version"))
        self._volumes.check_mounts(app, config)
        self._check_room(app, region)
        self._images.check(config)
        at_ms = now_ms(self._clock)
        machine = Machine(
            id=new_machine_id(),
            app=app,
            name=name,
            region=region,
            state="created",
            instance_id=new_ulid(at_ms),
            config=config,
            created_ms=at_ms,
            updated_ms=at_ms,
            should_run=not body.get("skip_launch"),
            is_cordoned=bool(body.get("skip_service_registration")),
            skips_secrets=bool(body.get("skip_secrets")),
            is_armed=bool(config.get("schedule")) and not body.get("skip_launch"),
        )
        if body.get("lease_ttl"):
            ttl_s = whole_number(body["lease_ttl"], "lease_ttl")
            machine = replace(machine, lease=self._leases.new(machine, ttl_s, ""))
        event = self._runner.recorder.new_event("launch", "created", "user")
        return self._runner.recorder.save(machine, event=event, is_new_version=True)

    def _check_room(self, app: str, region: str) -> None:
        """Raise ApiFault if the organization may have no more machines in the region."""
        most, apps = self._behaviour.machines_per_region, self._store.apps
        if most is None:
            return
        org = apps[app].org
        there = [one for one in self._store.machines() if one.region == region and not one.is_destroyed]
        if sum(one.app in apps and apps[one.app].org == org for one in there) >= most:
            raise api_fault("machine_limit")

    def _check_name_is_free(self, app: str, name: str) -> None:
        if not self._behaviour.enforces_names:
            return
        for other in self._store.machines(app):
            is_held = other.state != "destroying" or self._behaviour.holds_name_while_destroying
            if other.name == name and not other.is_destroyed and is_held:
                raise name_taken(other.id, name)
