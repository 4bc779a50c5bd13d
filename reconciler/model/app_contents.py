"""What an app has beside its machines."""

from msgspec import Struct

from reconciler.model.ip_address import IpAddress


class AppContents(Struct, frozen=True, kw_only=True):
    """What goes with an app that is deleted: ids of volumes, host names, names."""

    volumes: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
