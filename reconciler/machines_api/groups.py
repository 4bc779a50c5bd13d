"""The groups of calls of a client. Each is imported when it is first used."""

from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.machines_api.lists import MachineLists
from reconciler.machines_api.transport import Transport

if TYPE_CHECKING:
    from reconciler.machines_api.endpoints import Apps, Platform
    from reconciler.machines_api.leases import Leases
    from reconciler.machines_api.logs import Logs


class CallGroups:
    """Hold the groups of calls of a client."""

    def __init__(self, api: Transport, logs_api: Transport) -> None:
        self._api = api
        self._logs_api = logs_api
        self.lists: MachineLists = MachineLists(api)

    @cached_property
    def apps(self) -> "Apps":
        from reconciler.machines_api.endpoints import Apps

        return Apps(self._api)

    @cached_property
    def leases(self) -> "Leases":
        from reconciler.machines_api.leases import Leases

        return Leases(self._api)

    @cached_property
    def logs(self) -> "Logs":
        from reconciler.machines_api.logs import Logs

        return Logs(self._logs_api)

    @cached_property
    def platform(self) -> "Platform":
        from reconciler.machines_api.endpoints import Platform

        return Platform(self._api)
