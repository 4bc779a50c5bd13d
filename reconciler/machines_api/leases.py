"""The calls on leases.

docs/explanation/protocols.md describes them in section 1. Every method raises ApiError.
"""

from typing import Final

from reconciler.errors import ApiErrorKind
from reconciler.machines_api import wire
from reconciler.machines_api.calls import nothing, on_machine
from reconciler.machines_api.transport import Transport
from reconciler.model.machine import Lease
from reconciler.model.secret import Secret

_RELEASE_TIMEOUT_S: Final = 5.0
_NO_LEASE: Final = frozenset({ApiErrorKind.NOT_FOUND, ApiErrorKind.LEASE_NOT_FOUND})


class Leases:
    """Acquire, renew, read and release leases: `client.leases`."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    async def acquire(self, app: str, machine_id: str, *, ttl_s: int, description: str) -> Lease:
        """Take a lease.

        Raises kind LEASE_HELD if there is one, even our own after a lost reply.
        """
        body = {"ttl": ttl_s, "description": description}
        call = on_machine("POST", app, machine_id, "create_lease", "/lease", query={"ttl": ttl_s}, body=body)
        return await self._api.send(call, wire.lease_from_json)

    async def renew(self, app: str, machine_id: str, *, nonce: Secret, ttl_s: int) -> Lease:
        """Extend the lease by its TTL, from now on."""
        call = on_machine(
            "POST",
            app,
            machine_id,
            "refresh_lease",
            "/lease",
            query={"ttl": ttl_s},
            body={"ttl": ttl_s},
            nonce=nonce,
            is_repeatable=True,
        )
        return await self._api.send(call, wire.lease_from_json)

    async def release(self, app: str, machine_id: str, *, nonce: Secret) -> None:
        """Release the lease. It is no error if it is gone already."""
        call = on_machine(
            "DELETE",
            app,
            machine_id,
            "release_lease",
            "/lease",
            nonce=nonce,
            timeout_s=_RELEASE_TIMEOUT_S,
            is_repeatable=True,
            has_reply=False,
        )
        await self._api.find(call, nothing, none_there=_NO_LEASE)

    async def get(self, app: str, machine_id: str) -> Lease | None:
        """Return the lease on the machine, whoever holds it; None if there is none."""
        call = on_machine("GET", app, machine_id, "get_lease", "/lease", is_repeatable=True)
        return await self._api.find(call, wire.lease_from_json, none_there=_NO_LEASE)
