"""Calls into a running machine: signals, processes, exec commands, ports."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.engine.config.read import exec_request, signal_number
from reconciler.engine.errors import ApiFault
from reconciler.engine.machines.call_rules import decide
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.runner import Runner
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Executed, ProcessStat, Running, Runtime


class GuestCalls:
    """The calls into running machines.

    `reachable` returns a machine by app and id; it raises ApiFault where there is none, or its host is down.
    """

    def __init__(
        self, runner: Runner, leases: Leases, reachable: Callable[[str, str], Machine], runtime: Runtime
    ) -> None:
        self._runner = runner
        self._leases = leases
        self._reachable = reachable
        self._runtime = runtime

    async def signal(self, app: str, machine_id: str, name: Any) -> None:
        """Send the running machine a signal. Raises ApiFault."""
        number = signal_number(name)
        machine = self._reachable(app, machine_id)
        decide("signal", machine.state)
        await (await self._running(machine)).signal(number)

    async def processes(self, app: str, machine_id: str) -> list[ProcessStat]:
        """Return the processes on the machine; none where it does not run.

        Raises ApiFault.
        """
        running = await self._runner.running(self._reachable(app, machine_id).id)
        return await running.processes() if running else []

    async def execute(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None = None) -> Executed:
        """Run a command on the running machine, and return how it ended. Raises ApiFault."""
        words, stdin, timeout_s = exec_request(body)
        machine = await self._leases.admit("exec", self._reachable(app, machine_id), nonce)
        decide("exec", machine.state)
        try:
            return await (await self._running(machine)).execute(words, stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as error:
            raise ApiFault(408, f"deadline_exceeded: the command did not end within {timeout_s:g}s") from error

    async def _running(self, machine: Machine) -> Running:
        running = await self._runner.running(machine.id)
        if running is None:
            raise ApiFault(412, "failed_precondition: machine is not started")
        return running

    def ports(self, machine_id: str) -> Mapping[int, int]:
        """Return the ports of this host by internal port, of the machine's last start."""
        return self._runner.ports_of(machine_id)

    async def listens(self, machine_id: str, port: int) -> bool:
        """Return whether the machine's own commands listen on this very port of the host."""
        running = await self._runner.running(machine_id) if self._runtime.port_style == "host" else None
        sockets = [socket for one in await running.processes() for socket in one.sockets] if running else []
        return any(address.endswith(f":{port}") for _, address in sockets)
