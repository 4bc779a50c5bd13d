"""Create apps: check the request, and make the new app's record."""

import re
import secrets
from typing import Any, Final

from reconciler.clock import Clock, now_ms
from reconciler.engine.errors import ApiFault, bad_request
from reconciler.engine.models import App
from reconciler.engine.store.store import Store

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def created_app(store: Store, clock: Clock, name: Any, org: Any, *, network: Any, idempotency_key: Any) -> App:
    """Return the new app, which is on record; without a name it gets one.

    With an idempotency key that created an app before, return that app. Raises ApiFault.
    """
    if not isinstance(org, str) or not org:
        raise bad_request("org_slug is required")
    key = _text(idempotency_key, "idempotency_key")
    known = next((app for app in store.apps.values() if key and app.idempotency_key == key), None)
    if known:
        if (not name or name == known.name) and org == known.org:
            return known
        raise ApiFault(422, "Validation failed: Idempotency key was used to create another app")
    name = name or f"app-{secrets.token_hex(4)}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ApiFault(422, "Validation failed: Name may only contain numbers, lowercase letters and dashes")
    if name in store.apps:
        raise ApiFault(422, "Validation failed: Name has already been taken", "name_taken")
    app = App(name=name, org=org, created_ms=now_ms(clock), network=_text(network, "network"), idempotency_key=key)
    store.add_app(app)
    return app


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str | None):
        raise bad_request(f"{name} must be a string")
    return value or ""
