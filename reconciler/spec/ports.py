"""Build a service's `ports` and `checks`, as the API spells them."""

from typing import Any, Final

from reconciler.spec.diagnostics import Findings
from reconciler.spec.durations import check_check
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar, plain_value

# What is served at port 80 and 443 where nothing else is said, as flyctl's own `http_service` does.
_WEB: Final = ((80, ["http"]), (443, ["tls", "http"]))
_COPIED: Final = ("autostart", "autostop", "min_machines_running", "concurrency")


def build_services(node: Node | None, findings: Findings) -> list[dict[str, Any]]:
    """Return the services of the pool's `ports`."""
    if not isinstance(node, List):
        return []
    services = [_service(item, findings) for item in node.items]
    seen: dict[int, Node] = {}
    for item, service in zip(node.items, services, strict=True):
        for port in service["ports"]:
            if port["port"] in seen:
                hint = "set `port`: without it 80 and 443 are taken"
                findings.add(item, f"port {port['port']} is served twice", hint=hint)
            seen[port["port"]] = item
    return services


def _service(node: Node, findings: Findings) -> dict[str, Any]:
    said = dict(plain_value(node)) if isinstance(node, Map) else {"internal_port": plain_value(node)}
    protocol = said.get("protocol", "http")
    if protocol != "http" and "port" not in said:
        hint = (
            f"write `{{internal_port: {said['internal_port']}, protocol: {protocol}, port: {said['internal_port']}}}`"
        )
        findings.add(node, f"a {protocol} port needs `port`: where it is served", hint=hint)
    service: dict[str, Any] = {
        "internal_port": said["internal_port"],
        "protocol": "udp" if protocol == "udp" else "tcp",
        "ports": _ports(said, protocol),
        "autostart": True,
    }
    return service | {key: said[key] for key in _COPIED if key in said}


def _ports(said: dict[str, Any], protocol: str) -> list[dict[str, Any]]:
    if "port" in said:
        numbers = said["port"] if isinstance(said["port"], list) else [said["port"]]
        usual = {number: handlers for number, handlers in _WEB if protocol == "http"}
        default = ["http"] if protocol == "http" else []
        pairs = [(number, said.get("handlers", usual.get(number, default))) for number in numbers]
    elif protocol == "http":
        pairs = [(number, said.get("handlers", handlers)) for number, handlers in _WEB]
    else:
        pairs = []
    return [_port(number, handlers, said) for number, handlers in pairs]


def _port(number: int, handlers: list[str], said: dict[str, Any]) -> dict[str, Any]:
    port: dict[str, Any] = {"port": number} | ({"handlers": list(handlers)} if handlers else {})
    is_plain = "http" in handlers and "tls" not in handlers
    return port | ({"force_https": said["force_https"]} if is_plain and "force_https" in said else {})


def build_checks(node: Node | None, ports: Node | None, findings: Findings) -> dict[str, Any]:
    """Return the pool's `checks`; one without a port asks at the first of `ports`."""
    if not isinstance(node, Map):
        return {}
    checks = {}
    for name, entry in node.items():
        said = dict(plain_value(entry.value)) if isinstance(entry.value, Map) else {}
        if isinstance(entry.value, Map):
            check_check(entry.value, findings)
        if "port" not in said:
            if not isinstance(ports, List) or not ports.items:
                hint = "say in it which port is asked, such as `port: 8080`"
                findings.add(entry.key, f"check {name!r} has no `port`, and the service no `ports`", hint=hint)
            else:
                first = plain_value(ports.items[0])
                said["port"] = first["internal_port"] if isinstance(first, dict) else first
        said.setdefault("type", "http" if "path" in said else "tcp")
        if isinstance(headers := said.get("headers"), dict):
            said["headers"] = [{"name": key, "values": [_text(entry.value, key)]} for key in headers]
        checks[name] = said
    return checks


def _text(check: Node, name: str) -> str:
    """Return a header's value as it is spelled."""
    headers = check.get("headers") if isinstance(check, Map) else None
    value = headers.get(name) if isinstance(headers, Map) else None
    return value.text if isinstance(value, Scalar) else ""
