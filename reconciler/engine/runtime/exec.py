"""What is asked of a machine while it runs: signals, processes, commands besides its own, ports."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.engine.config import read as configs
from reconciler.engine.errors import Refused
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.lifecycle import effect_of
from reconciler.engine.machines.runner import Supervisor
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Executed, ProcessStat, Running, Runtime


class Inside:
    """`reachable` gives a machine for a call that its host has to carry out."""

    def __init__(
        self, runs: Supervisor, leases: Leases, reachable: Callable[[str, str], Machine], runtime: Runtime
    ) -> None:
        self._runs = runs
        self._leases = leases
        self._reachable = reachable
        self._runtime = runtime

    async def signal(self, app: str, machine_id: str, name: Any) -> None:
        """Sends the running machine a signal. Raises Refused."""
        number = configs.signal_number(name)
        machine = self._reachable(app, machine_id)
        effect_of("signal", machine.state)
        await (await self._running(machine)).signal(number)

    async def processes(self, app: str, machine_id: str) -> list[ProcessStat]:
        """What runs on the machine; nothing, where it rests."""
        running = await self._runs.running(self._reachable(app, machine_id).id)
        return await running.processes() if running else []

    async def execute(self, app: str, machine_id: str, body: dict[str, Any], nonce: str | None = None) -> Executed:
        """What a command did on the running machine. Raises Refused."""
        words, stdin, timeout_s = configs.exec_request(body)
        machine = await self._leases.admit("exec", self._reachable(app, machine_id), nonce)
        effect_of("exec", machine.state)
        try:
            return await (await self._running(machine)).execute(words, stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as error:
            raise Refused(408, f"deadline_exceeded: the command did not end within {timeout_s:g}s") from error

    async def _running(self, machine: Machine) -> Running:
        running = await self._runs.running(machine.id)
        if running is None:
            raise Refused(412, "failed_precondition: machine is not started")
        return running

    def ports(self, machine_id: str) -> Mapping[int, int]:
        """The host's ports by the internal ones of the machine's last start."""
        return self._runs.ports_of(machine_id)

    async def listens(self, machine_id: str, port: int) -> bool:
        """Whether the machine's own commands listen on this very port of the host."""
        running = await self._runs.running(machine_id) if self._runtime.port_style == "host" else None
        sockets = [socket for one in await running.processes() for socket in one.sockets] if running else []
        return any(address.endswith(f":{port}") for _, address in sockets)
