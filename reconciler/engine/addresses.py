"""IP addresses of apps: which an app holds. No packet goes to them.

They are of the ranges for documentation, so that none is anybody's: where a service is really served, `GET
/engine/services` says. All apps share one `shared_v4`.
"""

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network
from typing import Any, Final

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import concrete_region
from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.models import AppAddress
from reconciler.engine.store.store import Store

SHARED: Final = "198.51.100.1"
_V4: Final = ip_network("203.0.113.0/24")
_V6: Final = {"v6": IPv6Address("2001:db8::"), "private_v6": IPv6Address("fdaa:0:1::")}
_NOT_HERE: Final = ("egress_pair", "egress_v4", "egress_v6")


class Addresses:
    """The addresses of all apps."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def of(self, app: str) -> list[AppAddress]:
        """Return the app's addresses, oldest first."""
        return [one for one in self._store.addresses if one.app == app]

    def assign(self, app: str, body: dict[str, Any]) -> AppAddress:
        """Give the app one more address. Raises ApiFault.

        If the app has a shared address already, it gets the same one again.
        """
        kind = body.get("type")
        region, service = body.get("region") or "", body.get("service_name") or ""
        if not isinstance(kind, str) or not isinstance(service, str):
            raise bad_request("type is required: a string; service_name is one too")
        if kind in _NOT_HERE:
            raise ApiFault(
                501, f"unimplemented: the local engine has no {kind}: its machines call out as this host does"
            )
        held = next((one for one in self.of(app) if kind == one.kind == "shared_v4"), None)
        if held:
            return held
        address = AppAddress(
            app=app,
            ip=self._free(kind),
            kind=kind,
            created_ms=now_ms(self._clock),
            region=concrete_region(region) if region and region != "global" else "global",
            service_name=service,
        )
        return self._store.addresses.put(_key(address), address)

    def release(self, app: str, ip: Any) -> None:
        """Take the address from the app. Raises ApiFault where it does not hold it."""
        held = next((one for one in self.of(app) if one.ip == ip), None)
        if held is None:
            raise not_found("IP address")
        self._store.addresses.remove(_key(held))

    def forget(self, app: str) -> None:
        """Take all addresses from an app that is deleted."""
        for held in self.of(app):
            self._store.addresses.remove(_key(held))

    def _free(self, kind: str) -> str:
        if kind == "shared_v4":
            return SHARED
        taken = {one.ip for one in self._store.addresses}
        for ip in _candidates(kind):
            if ip not in taken:
                return ip
        raise ApiFault(422, "the local engine has no IPv4 address left: release one, or take a shared one")


def _candidates(kind: str) -> Iterator[str]:
    if kind == "v4":
        return (str(ip) for ip in _V4.hosts())
    if kind not in _V6:
        raise bad_request(f"invalid type: {kind}")
    first = int(_V6[kind])
    return (str(IPv6Address(first + number)) for number in range(1, 1 << 32))


def _key(address: AppAddress) -> str:
    return f"{address.app}/{address.ip}"
