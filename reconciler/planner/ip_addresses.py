"""Decide which IP addresses an app gets, and which of its own are foreign. Pure.

Foreign is an address that the spec does not declare. If this plan creates an app, and a pool of it has public ports, it
gets the usual addresses unless the spec says otherwise. No address is ever released.
"""

from typing import Final

from reconciler.model.change import ReasonCode
from reconciler.model.ip_address import ForeignIp, IpAddress, IpKind
from reconciler.model.machine import ObservedApp
from reconciler.model.plan import IpAllocation
from reconciler.model.spec import App

_USUAL: Final = (IpKind.SHARED_V4, IpKind.V6)
_CHARGED: Final = frozenset({IpKind.V4})


def allocations_of(
    app: App, observed: ObservedApp, *, is_created: bool, is_whole: bool, lock_id: str | None
) -> tuple[IpAllocation, ...]:
    """Return what the app is to get.

    A plan that is not of the whole stack gives none to an app that exists. `lock_id` is a machine of ours in the app.
    """
    if not is_created and (not is_whole or not observed.exists):
        return ()
    wanted, code, why = app.addresses or (), ReasonCode.MISSING, "declared, and the app has none"
    if app.addresses is None and is_created and (public := app.public_pools):
        wanted, code, why = _USUAL, ReasonCode.PUBLIC_PORTS, f"the app is new, and {public[0].name} has public ports"
    has = {one.kind for one in observed.ip_addresses}
    return tuple(
        IpAllocation(app=app.name, kind=kind, reason=_reason(kind, why), code=code, machine_id=lock_id)
        for kind in wanted
        if kind not in has
    )


def kinds_of_new(app: App) -> tuple[IpKind, ...]:
    """Return what the app has once a plan has created it."""
    if app.addresses is None:
        return _USUAL if app.public_pools else ()
    return app.addresses


def foreign_ips_of(app: App, observed: ObservedApp) -> tuple[ForeignIp, ...]:
    """Return the addresses that the app has and the spec does not declare.

    That is another kind, or more than one of a kind. Without declared addresses there are none.
    """
    if app.addresses is None:
        return ()
    first: dict[IpKind, IpAddress] = {}
    for one in observed.ip_addresses:
        first.setdefault(one.kind, one)
    return tuple(
        ForeignIp(app=app.name, ip=one.ip, kind=one.kind)
        for one in observed.ip_addresses
        if one.kind not in app.addresses or first[one.kind] is not one
    )


def _reason(kind: IpKind, why: str) -> str:
    return f"{why}; the platform charges for it" if kind in _CHARGED else why
