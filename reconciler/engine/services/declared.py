"""What a machine config says of the services that the machine is part of, and of the ports that it listens on."""

from dataclasses import dataclass
from typing import Any, Final

_SOFT_LIMIT: Final = 20
_MOST_PORTS: Final = 100
_STOPS: Final = {True: "stop", "stop": "stop", "suspend": "suspend"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: connections to any of `ports` go to `internal_port` of one of its machines.

    `autostop` is stop, suspend or empty; `hard` is None where there is no limit. `is_http` where a port has HTTP's
    handler: then a refusal can be told in words.
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
    """The services over TCP; those over UDP are not served here."""
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
    """The ports that the machine's commands are expected to listen on, the first service's first."""
    checks = [check for check in (config.get("checks") or {}).values() if check]
    found = [service.internal_port for service in services_of(config)] + [check.get("port") for check in checks]
    return tuple(dict.fromkeys(port for port in found if port and 0 < port < 65536))
