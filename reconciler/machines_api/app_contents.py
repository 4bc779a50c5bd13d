"""Parse what an app has beside its machines: volumes, certificates and secrets.

If an entry is not understood, the whole answer is invalid: it could be what keeps the app from being deleted.
"""

from collections.abc import Callable
from typing import Any, Final

from reconciler.machines_api.values import MalformedError, object_of, text_of

_DELETED: Final = frozenset(
    {"scheduling_destroy", "fork_cleanup", "waiting_for_detach", "pending_destroy", "destroying", "destroyed"}
)


def volumes_from_json(value: Any) -> tuple[str, ...]:
    """Parse the ids of the volumes that nobody has deleted."""
    return _names(value, "a volume", "id", lambda volume: volume.get("state") not in _DELETED)


def certificates_from_json(value: Any) -> tuple[str, ...]:
    """Parse the host names of the certificates on the first page."""
    return _names(object_of(value, "a list of certificates").get("certificates"), "a certificate", "hostname")


def secrets_from_json(value: Any) -> tuple[str, ...]:
    """Parse the names of the secrets."""
    return _names(object_of(value, "a list of secrets").get("secrets"), "a secret", "name")


def _names(
    value: Any, what: str, member: str, counts: Callable[[dict[str, Any]], bool] = lambda _one: True
) -> tuple[str, ...]:
    if not isinstance(value, list | None):
        raise MalformedError(f"a list, each {what}")
    found = [object_of(one, what) for one in value or ()]
    names = [text_of(one.get(member)) for one in found if counts(one)]
    if not all(names):
        raise MalformedError(f"a name as `{member}` of {what}")
    return tuple(names)
