"""What an app has beside its machines."""

from dataclasses import dataclass

from reconciler.model.ip_address import IpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContents:
    """What goes with an app that is deleted: ids of volumes, host names, names."""

    volumes: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
