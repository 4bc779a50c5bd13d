"""Record releases of apps, as Fly's own client reports them.

The engine does nothing else with them.
"""

import secrets
from typing import Any, Final

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.errors import bad_request, not_found
from reconciler.engine.models import Release
from reconciler.engine.store.store import Store

_KEPT: Final = 50
_RUNNING: Final = ("pending", "running")


class Releases:
    """The releases of all apps."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def of(self, app: str) -> list[Release]:
        """Return the app's releases, newest first."""
        return sorted((one for one in self._store.releases if one.app == app), key=lambda one: -one.version)

    def create(self, app: str, body: dict[str, Any]) -> Release:
        """Record a release that begins. The oldest of many is forgotten. Raises ApiFault."""
        image, strategy = body.get("image") or "", body.get("strategy") or ""
        if not isinstance(image, str) or not isinstance(strategy, str):
            raise bad_request("image and strategy must be strings")
        before = self.of(app)
        release = Release(
            id=secrets.token_hex(8),
            app=app,
            version=before[0].version + 1 if before else 1,
            status=_RUNNING[0],
            strategy=strategy,
            image=image,
            created_ms=now_ms(self._clock),
            definition=body.get("definition"),
        )
        for old in before[_KEPT - 1 :]:
            self._store.releases.remove(old.id)
        return self._store.releases.put(release.id, release)

    def update(self, release_id: str, status: Any) -> Release:
        """Record how far the release is. Raises ApiFault."""
        release = self._store.releases.get(release_id)
        if release is None:
            raise not_found("release")
        if not isinstance(status, str) or not status:
            raise bad_request("status is required: a string")
        return self._store.releases.put(release.id, replace(release, status=status))

    def forget(self, app: str) -> None:
        """Forget the releases of an app that is deleted."""
        for release in self.of(app):
            self._store.releases.remove(release.id)


def is_in_progress(release: Release) -> bool:
    """Return whether the release has not ended yet."""
    return release.status in _RUNNING
