"""Services as configs declare them, and which machine gets the next connection.

Pure: configs and loads in, values out.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

_SOFT_LIMIT: Final = 20
_MOST_PORTS: Final = 100
_STOPS: Final = {True: "stop", "stop": "stop", "suspend": "suspend"}


class Service(Struct, frozen=True, kw_only=True):
    """One service: connections to its `ports` go to `internal_port` of a machine.

    `autostop` is stop, suspend or empty. `soft` and `hard` are limits of connections for each machine; `hard` is None
    without a limit. `is_http` where a port has the HTTP handler, so that an error can be an HTTP reply.
    """

    internal_port: int
    ports: tuple[int, ...]
    autostart: bool
    autostop: str
    min_running: int
    soft: int
    hard: int | None
    is_http: bool


def services_of(config: dict[str, Any]) -> tuple[Service, ...]:
    """Return the services over TCP; the proxy serves none over UDP."""
    services = [service for service in config.get("services") or [] if service and service.get("internal_port")]
    return tuple(_service(service) for service in services if service.get("protocol") != "udp")


def _service(service: dict[str, Any]) -> Service:
    ports = [port for port in service.get("ports") or [] if port]
    concurrency = service.get("concurrency") or {}
    return Service(
        internal_port=service["internal_port"],
        ports=tuple(number for port in ports for number in _numbers(port))[:_MOST_PORTS],
        autostart=service.get("autostart") is not False,
        autostop=_STOPS.get(service.get("autostop") or "", ""),
        min_running=service.get("min_machines_running") or 0,
        soft=max(1, concurrency.get("soft_limit") or _SOFT_LIMIT),
        hard=concurrency.get("hard_limit") or None,
        is_http=any("http" in (port.get("handlers") or []) for port in ports),
    )


def _numbers(port: dict[str, Any]) -> range:
    first = port.get("port") or port.get("start_port") or 0
    last = port.get("end_port") if port.get("start_port") else first
    return range(first, (last or first) + 1) if 0 < first <= (last or first) < 65536 else range(0)


def internal_ports(config: dict[str, Any]) -> tuple[int, ...]:
    """Return the ports that the commands should listen on: of services, then checks."""
    checks = [check for check in (config.get("checks") or {}).values() if check]
    found = [service.internal_port for service in services_of(config)] + [check.get("port") for check in checks]
    return tuple(dict.fromkeys(port for port in found if port and 0 < port < 65536))


class Candidate(Struct, frozen=True, kw_only=True):
    """A machine that may get a connection: `load` connections it has already.

    `hard` is None without a limit.
    """

    machine_id: str
    is_awake: bool
    can_wake: bool
    load: int
    soft: int
    hard: int | None


def choose(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the machine for the next connection.

    None where the connection has to wait. That is the least loaded below its soft limit; else a stopped one that may be
    started; else the least loaded below its hard limit.
    """
    known = sorted(candidates, key=lambda one: (one.load, one.machine_id))
    awake = [one for one in known if one.is_awake]
    if below := [one for one in awake if one.load < one.soft]:
        return below[0]
    if resting := [one for one in known if not one.is_awake and one.can_wake]:
        return resting[0]
    return next((one for one in awake if one.hard is None or one.load < one.hard), None)
