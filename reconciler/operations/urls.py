"""Find the URLs of apps with public ports.

They are at the platform's own name, or at the proxy of the local engine.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from reconciler.errors import ApiError
from reconciler.model.spec import App, Spec
from reconciler.operations.session import Session

_DOMAIN: Final = "fly.dev"
_TLS: Final = 443


async def urls_of(session: Session, spec: Spec) -> Mapping[str, tuple[str, ...]]:
    """Return where each app of the spec with public ports is called, by its name.

    The local engine is asked, with one call; of other servers that are not the platform nothing is known. It says
    nothing of whether somebody answers there.
    """
    public = [app for app in spec.apps if app.public_pools]
    if session.target.name == "fly":
        return {app.name: _on_the_platform(app) for app in public}
    if not public or session.context.local is None:
        return {}
    try:
        served = await session.context.client.platform.list_served()
    except ApiError:
        return {}
    found = {app.name: _where(served.get(app.name, {}), _handlers(app)) for app in public}
    return {name: urls for name, urls in found.items() if urls}


def _on_the_platform(app: App) -> tuple[str, ...]:
    host, handlers = f"{app.name}.{_DOMAIN}", _handlers(app)
    if "tls" in handlers.get(_TLS, ()):
        return (f"https://{host}",)
    return tuple(_url(f"{host}:{port}", names) for port, names in sorted(handlers.items()))


def _where(served: Mapping[int, str], handlers: Mapping[int, Iterable[str]]) -> tuple[str, ...]:
    """Return the port without TLS of a web server, otherwise each port.

    The local engine serves no TLS.
    """
    plain = [port for port in sorted(served) if "http" in handlers.get(port, ()) and port != _TLS]
    ports = plain[:1] or sorted(served)
    return tuple(_url(served[port], handlers.get(port, ())) for port in ports)


def _url(address: str, handlers: Iterable[str]) -> str:
    if "http" not in handlers:
        return address
    return f"http://{address.removesuffix(':80')}"


def _handlers(app: App) -> dict[int, tuple[str, ...]]:
    """Return the handlers of each public port."""
    found: dict[int, tuple[str, ...]] = {}
    for pool in app.public_pools:
        for service in pool.config.document.get("services") or ():
            ports: list[Any] = (service.get("ports") if isinstance(service, dict) else None) or []
            for one in ports:
                if isinstance(one, dict) and type(one.get("port")) is int:
                    found[one["port"]] = tuple(one.get("handlers") or ())
    return found
