"""The addresses of an app: what a spec may declare, and what the platform reports."""

import enum
from dataclasses import dataclass


class AddressKind(enum.StrEnum):
    """A kind of address, as the API and a spec spell it."""

    SHARED_V4 = "shared_v4"  # one IPv4 address for the apps of many; free
    V6 = "v6"
    V4 = "v4"  # an IPv4 address of the app's own, which the platform charges for
    PRIVATE_V6 = "private_v6"  # reached from within the organisation's network only


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that an app has."""

    ip: str
    kind: AddressKind
