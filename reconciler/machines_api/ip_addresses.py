"""Parse IP addresses of apps, and the ports that the local engine serves."""

import re
from typing import Any, Final

from reconciler.machines_api.values import MalformedError, list_of, object_of, text_of
from reconciler.model.ip_address import IpAddress, IpKind

_IP: Final = r"[0-9.]{7,15}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,44}"


def addresses_from_json(value: Any) -> tuple[IpAddress, ...]:
    """Parse the addresses at which an app is called, not those from which it calls.

    If one is not understood, the whole answer is invalid: otherwise it would be allocated again.
    """
    listed = object_of(value, "a list of addresses").get("ips")
    if not isinstance(listed, list | None):
        raise MalformedError("a list of addresses as `ips`")
    incoming = (one for one in listed or () if not (isinstance(one, dict) and one.get("egress") is True))
    return tuple(address_from_json(one) for one in incoming)


def address_from_json(value: Any) -> IpAddress:
    """Parse an address. The API does not tell its kind, so the address itself must."""
    address = object_of(value, "an address")
    ip = text_of(address.get("ip"))
    if not re.fullmatch(_IP, ip):
        raise MalformedError("an IP address as `ip`")
    if ":" not in ip:
        return IpAddress(ip=ip, kind=IpKind.SHARED_V4 if address.get("shared") is True else IpKind.V4)
    return IpAddress(ip=ip, kind=IpKind.PRIVATE_V6 if ip.lower().startswith("fd") else IpKind.V6)


def served_from_json(value: Any) -> dict[str, dict[int, str]]:
    """Parse the local engine's list of ports: by app and port, the address."""
    served: dict[str, dict[int, str]] = {}
    for one in list_of(value):
        row = one if isinstance(one, dict) else {}
        app, port, address = row.get("app"), row.get("port"), row.get("address")
        if isinstance(app, str) and type(port) is int and isinstance(address, str):
            served.setdefault(app, {})[port] = address
    return served
