"""Leases: take, release and expire them, and decide which calls they let through.

A lease is the right to change a machine until it expires. An expired lease is none.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from reconciler.clock import Clock
from reconciler.engine.errors import ApiFault, lease_held, not_found
from reconciler.engine.machines.call_rules import LeaseEffect, decide_lease
from reconciler.engine.machines.wait import Watchers
from reconciler.engine.models import Lease, Machine

_OWNER: Final = "local@tokens.fly.io"
_DEFAULT_TTL_S: Final = 120


class Leases:
    """The leases of all machines, which are part of the machines' records.

    `find` returns a machine by app and id, and raises ApiFault; `save` writes one.
    """

    def __init__(
        self,
        clock: Clock,
        watchers: Watchers,
        find: Callable[[str, str], Machine],
        save: Callable[[Machine], Machine],
        *,
        takes_expired_nonce: bool,
    ) -> None:
        self._clock = clock
        self._watchers = watchers
        self._find = find
        self._save = save
        self._takes_expired_nonce = takes_expired_nonce

    def current(self, machine: Machine) -> Lease | None:
        """Return the lease in force, if there is one."""
        lease = machine.lease
        return lease if lease and lease.expires_at > self._clock.now().timestamp() else None

    def take(self, app: str, machine_id: str, *, ttl_s: int, description: str, nonce: str | None) -> Lease:
        """Return a new lease.

        With the nonce of the lease in force, that lease with a later expiry. Raises ApiFault where someone else holds a
        lease.
        """
        machine = self._find(app, machine_id)
        if machine.is_destroyed:
            raise not_found("machine")
        held = self.current(machine)
        if held and nonce != held.nonce:
            raise _held(machine, held)
        lease = self.new(machine, ttl_s, description)
        if held:
            lease = replace(held, expires_at=lease.expires_at)
        elif nonce:
            lease = replace(lease, nonce=nonce)  # a refresh that comes late revives the lease
        self._save(replace(machine, lease=lease))
        return lease

    def release(self, app: str, machine_id: str, nonce: str | None) -> None:
        """End the lease with this nonce.

        Raises ApiFault where there is none, or it is someone else's.
        """
        machine = self._find(app, machine_id)
        held = self.current(machine)
        if held is None:
            raise not_found("lease")
        if nonce != held.nonce:
            raise _held(machine, held)
        self._save(replace(machine, lease=None))

    def new(self, machine: Machine, ttl_s: int, description: str) -> Lease:
        """Return a new lease on the machine without recording it.

        A `ttl_s` of 0 is the default.
        """
        return Lease(
            nonce=secrets.token_hex(6),
            expires_at=self._clock.now().timestamp() + (ttl_s or _DEFAULT_TTL_S),
            owner=_OWNER,
            description=description,
            version=machine.instance_id,
        )

    def drop(self, machine: Machine, *, thief: str | None = None, ttl_s: int = 30) -> None:
        """End the lease whoever holds it, and give a new one to `thief`, if given.

        For fault rules.
        """
        lease = self.new(machine, ttl_s, thief) if thief else None
        self._save(replace(machine, lease=lease))

    async def admit(self, call: str, machine: Machine, nonce: str | None) -> Machine:
        """Return the machine once its lease lets the call pass.

        Raises ApiFault where it does not. Which calls a lease refuses, and which it makes wait, is in LEASE_RULES.
        """
        held = self.current(machine)
        if held is None and nonce and not self._takes_expired_nonce:
            raise ApiFault(409, f"aborted: the lease on machine ID {machine.id} has expired")
        holder = "free" if held is None else "own" if held.nonce == nonce else "foreign"
        match decide_lease(call, holder):
            case LeaseEffect.PASS:
                return machine
            case LeaseEffect.REFUSE:
                assert held is not None
                raise _held(machine, held)
            case LeaseEffect.WAIT:
                return await self._wait_until_free(machine, nonce)
            case LeaseEffect.ABSENT:
                raise not_found("lease")

    async def _wait_until_free(self, machine: Machine, nonce: str | None) -> Machine:
        """Wait for someone else's lease to end, and return the machine as it is then."""
        app, machine_id = machine.app, machine.id

        def free() -> Machine | None:
            now = self._find(app, machine_id)
            held = self.current(now)
            return now if held is None or held.nonce == nonce else None

        while (found := free()) is None:
            held = self.current(self._find(app, machine_id))
            remaining_s = held.expires_at - self._clock.now().timestamp() if held else 0.0
            await self._watchers.until(machine_id, free, max(0.0, remaining_s))
            if self._watchers.is_closing:
                raise ApiFault(503, "unavailable: the engine is stopping")
        return found


def _held(machine: Machine, lease: Lease) -> ApiFault:
    expires_at = datetime.fromtimestamp(lease.expires_at, UTC)
    return lease_held(machine.id, lease.owner, f"{expires_at:%Y-%m-%dT%H:%M:%SZ}")
