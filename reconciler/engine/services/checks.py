"""Make the health checks that the configs of running machines declare."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.engine.config.read import duration_s
from reconciler.engine.models import CheckResult, Machine
from reconciler.engine.services.ports import HOST, listening_port

if TYPE_CHECKING:
    from reconciler.engine.engine import Engine

_INTERVAL_S: Final = 15.0
_TIMEOUT_S: Final = 10.0
_EARLY_S: Final = 0.5  # the interval until a check first passes
_WAITING: Final = "waiting for status update"
_LONGEST_OUTPUT: Final = 200


class Check(Struct, frozen=True, kw_only=True):
    """One health check; `kind` is tcp or http. Times are in seconds."""

    name: str
    kind: str
    port: int
    interval_s: float
    timeout_s: float
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    is_tls: bool = False
    verifies_tls: bool = True


def checks_of(config: dict[str, Any]) -> Iterator[Check]:
    """Yield the checks of the machine and its services, by the names in the API."""
    for name, check in (config.get("checks") or {}).items():
        if check and check.get("port"):
            yield _check(name, check, check["port"])
    for service in config.get("services") or []:
        for number, check in enumerate((service or {}).get("checks") or []):
            port = (check or {}).get("port") or service.get("internal_port") or 0
            if check and port:
                kind = check.get("type") or "tcp"
                yield _check(f"servicecheck-{number:02d}-{kind}-{service.get('internal_port')}", check, port)


def _check(name: str, check: dict[str, Any], port: int) -> Check:
    return Check(
        name=name,
        kind=check.get("type") or "tcp",
        port=port,
        interval_s=max(0.1, duration_s(check.get("interval"), _INTERVAL_S)),
        timeout_s=max(0.1, duration_s(check.get("timeout"), _TIMEOUT_S)),
        method=(check.get("method") or "get").upper(),
        path=check.get("path") or "/",
        headers=tuple(
            (str(header.get("name")), str(value))
            for header in check.get("headers") or []
            for value in (header or {}).get("values") or []
        ),
        is_tls=check.get("protocol") == "https",
        verifies_tls=not check.get("tls_skip_verify"),
    )


def not_made_yet(machine: Machine) -> CheckResult:
    """Return the result of a check that was not made since the machine's last change."""
    return CheckResult(status="warning", output=_WAITING, updated_ms=machine.updated_ms)


class CheckResults:
    """The results of all machines.

    `notify` is called with the id of each machine that has a new one.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._found: dict[str, dict[str, CheckResult]] = {}

    def of(self, machine: Machine) -> Mapping[str, CheckResult] | None:
        """Return the machine's results by name of the check.

        None where no checks are made.
        """
        return self._found.get(machine.id)

    def begin(self, machine: Machine, names: Iterable[str], first: CheckResult) -> None:
        """Begin with these checks; each has the result `first` until it is made."""
        self._found[machine.id] = dict.fromkeys(names, first)

    def reset(self, machine: Machine) -> None:
        """Forget the results until each check is made again.

        A write of metadata does that.
        """
        if found := self._found.get(machine.id):
            self.begin(machine, found, not_made_yet(machine))
            self._notify(machine.id)

    def put(self, machine: Machine, name: str, result: CheckResult) -> None:
        """Keep a check's new result."""
        if machine.id in self._found:
            self._found[machine.id][name] = result
            self._notify(machine.id)

    def end(self, machine: Machine) -> None:
        """Drop the results of a machine that has stopped."""
        self._found.pop(machine.id, None)


class Checks:
    """Check every machine that runs.

    `start` subscribes to the engine, which keeps the results; `close` ends all.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._running: dict[str, tuple[int, str, list[asyncio.Task[None]]]] = {}

    def start(self) -> None:
        """Follow the machines of the engine."""
        self._engine.subscribe(self._changed)

    async def close(self) -> None:
        """End all checks."""
        tasks = [task for _, _, tasks in self._running.values() for task in tasks]
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, machine: Machine) -> None:
        """Start the checks when a machine starts, and end them when it stops."""
        known = self._running.get(machine.id)
        this = (machine.runs, machine.instance_id)
        if machine.state == "started" and known and known[:2] == this:
            return
        if known:
            for task in self._running.pop(machine.id)[2]:
                task.cancel()
        if machine.state != "started":
            self._engine.check_results.end(machine)
            return
        checks = list(checks_of(machine.config))
        self._engine.check_results.begin(machine, [check.name for check in checks], not_made_yet(machine))
        tasks = [asyncio.create_task(self._keep_checking(machine, check)) for check in checks]
        self._running[machine.id] = (*this, tasks)

    async def _keep_checking(self, machine: Machine, check: Check) -> None:
        has_passed = False
        while True:
            try:
                async with asyncio.timeout(check.timeout_s):
                    output = await self._make(machine, check)
                result = CheckResult(status="passing", output=output)
                has_passed = True
            except (OSError, ValueError, TimeoutError, EOFError) as error:
                why = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
                result = CheckResult(status="critical", output=why[:_LONGEST_OUTPUT])
            result = replace(result, updated_ms=int(self._engine.clock.now().timestamp() * 1000))
            self._engine.check_results.put(machine, check.name, result)
            await self._engine.clock.sleep(check.interval_s if has_passed else min(check.interval_s, _EARLY_S))

    async def _make(self, machine: Machine, check: Check) -> str:
        """Make the check once, and return its output.

        Raises OSError, ValueError or EOFError where it fails.
        """
        port = await listening_port(self._engine, machine.id, check.port)
        if port is None:
            raise ConnectionRefusedError("the machine does not run")
        context = None
        if check.is_tls:
            context = ssl.create_default_context() if check.verifies_tls else ssl._create_unverified_context()
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        try:
            if check.kind != "http":
                return "Success"
            lines = [f"{check.method} {check.path} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in check.headers]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
            await writer.drain()
            return _output_of((await reader.readline()).decode("latin-1"))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _output_of(status_line: str) -> str:
    words = status_line.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError("what answers is no HTTP")
    if not 200 <= int(words[1]) < 300:
        raise ValueError(f"status {words[1]}")
    return f"HTTP {words[1]}"
