"""Secrets of apps: set and list them, and give them to machines that start."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from reconciler.clock import Clock, now_ms
from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.models import Machine, Secret, SecretsVersion
from reconciler.engine.store.store import Store

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class Secrets:
    """The secrets of all apps.

    Each change raises the app's version; machines see it at their next start.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def version(self, app: str) -> int:
        """Return the version of the app's secrets; 0 before the first change."""
        found = self._store.secrets_versions.get(app)
        return found.version if found else 0

    def of(self, app: str) -> list[Secret]:
        """Return the app's secrets, sorted by name."""
        return sorted((one for one in self._store.secrets if one.app == app), key=lambda one: one.name)

    def one(self, app: str, name: str) -> Secret:
        """Return one secret. Raises ApiFault where there is none of this name."""
        found = self._store.secrets.get(f"{app}/{name}")
        if found is None:
            raise not_found("secret")
        return found

    def set(self, app: str, values: Mapping[str, Any]) -> int:
        """Set these secrets and delete those that are null; return the new version.

        Raises ApiFault for an invalid name or value: then nothing has changed.
        """
        for name, value in values.items():
            if not _NAME.fullmatch(name):
                raise bad_request(f"invalid secret name: {name}")
            if value is not None and not isinstance(value, str):
                raise bad_request(f"the value of {name} must be a string")
        at = now_ms(self._clock)
        version = self.version(app) + 1
        for name, value in values.items():
            key, before = f"{app}/{name}", self._store.secrets.get(f"{app}/{name}")
            if value is None:
                self._store.secrets.remove(key)
                continue
            created_ms = before.created_ms if before else at
            secret = Secret(app=app, name=name, value=value, version=version, created_ms=created_ms, updated_ms=at)
            self._store.secrets.put(key, secret)
        self._store.secrets_versions.put(app, SecretsVersion(app=app, version=version))
        return version

    def check_version(self, app: str, wanted: Any) -> None:
        """Raise ApiFault where the app's secrets have not reached the `wanted` version.

        The status 412 is inferred.
        """
        if wanted is None or wanted == "":
            return
        try:
            number = int(wanted)
        except (TypeError, ValueError, OverflowError) as error:
            raise bad_request(f"invalid min_secrets_version: {wanted}") from error
        if number > self.version(app):
            raise ApiFault(412, f"failed_precondition: secrets version {number} is not available yet")

    def forget(self, app: str) -> None:
        """Delete the secrets of an app that is deleted.

        The count of their changes goes on in an app of the same name: clients remember the version that they wrote, and
        ask for it.
        """
        for secret in self.of(app):
            self._store.secrets.remove(f"{app}/{secret.name}")

    def environment(self, machine: Machine) -> dict[str, str]:
        """Return the secrets that the machine's processes get as variables."""
        return {} if machine.skips_secrets else {one.name: one.value for one in self.of(machine.app)}

    def content(self, app: str, name: str) -> bytes:
        """Return the content of a file that names this secret, decoded from base64.

        A value that is not base64 is used as it is. Empty where there is no such secret.
        """
        found = self._store.secrets.get(f"{app}/{name}")
        try:
            return base64.b64decode(found.value, validate=True) if found else b""
        except (binascii.Error, ValueError):
            return found.value.encode() if found else b""


def digest_of(secret: Secret) -> str:
    """Return a digest that differs where values differ, and does not reveal them."""
    return hashlib.sha256(f"{secret.app}/{secret.name}={secret.value}".encode()).hexdigest()[:16]
