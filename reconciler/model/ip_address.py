"""IP addresses of an app: what a spec may declare, what the platform reports."""

import enum

from msgspec import Struct


class IpKind(enum.StrEnum):
    """A kind of IP address, as the API and a spec spell it."""

    SHARED_V4 = "shared_v4"  # one address for the apps of many; free
    V6 = "v6"
    V4 = "v4"  # of the app's own; the platform charges for it
    PRIVATE_V6 = "private_v6"  # reached from within the organisation's network only


class IpAddress(Struct, frozen=True, kw_only=True):
    """An IP address that an app has."""

    ip: str
    kind: IpKind


class ForeignIp(Struct, frozen=True, kw_only=True):
    """An IP address of an app that its spec does not declare. It is never released."""

    app: str
    ip: str
    kind: IpKind
