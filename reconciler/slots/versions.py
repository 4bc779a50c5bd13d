"""Decide whether a machine was changed and changed back since its review.

A run with its own args or variables makes two versions: the override, and the one that restores the config. That is no
such change (docs/protocols.md, section 4).
"""

from collections.abc import Sequence

from reconciler.canonical.digest import live_digest
from reconciler.errors import ApiError
from reconciler.model import marks
from reconciler.model.machine import MachineRef, MachineVersion
from reconciler.slots.context import Context

CHANGED_BACK = "changed, and changed back, since it was reviewed"


async def was_changed_back(context: Context, machine: MachineRef, *, reviewed: str, live: str) -> str | None:
    """Say why a machine with the reviewed config is not the reviewed one, else None.

    This makes one call if the version differs. If the versions cannot be read, this counts as a change.
    """
    if reviewed == live:
        return None
    try:
        versions = await context.client.list_versions(machine.app, machine.id)
    except ApiError as error:
        return f"its version is not the reviewed one, and the versions between them cannot be read: {error.message}"
    return None if are_overrides(versions, reviewed=reviewed, live=live) else CHANGED_BACK


def are_overrides(versions: Sequence[MachineVersion], *, reviewed: str, live: str) -> bool:
    """Return whether only overrides of runs were made since the reviewed version.

    Each override is followed by the version that restores the config. `versions` are in the server's order, newest or
    oldest first. A version that is not retained is unknown: then the answer is False.
    """
    names = [one.version for one in versions]
    if reviewed not in names or live not in names:
        return False
    first, last = names.index(reviewed), names.index(live)
    later = versions[first + 1 : last + 1] if first < last else versions[last:first][::-1]
    before = versions[first]
    base = _base_of(before, versions)
    for one in later:
        if one.config is None:
            return False
        is_restored = _is_override(before) and live_digest(one.config) in base
        if not _is_override(one) and not is_restored:
            return False
        before = one
    return True


def _is_override(version: MachineVersion) -> bool:
    return version.config is not None and marks.OVERRIDE in version.config.metadata


def _base_of(reviewed: MachineVersion, versions: Sequence[MachineVersion]) -> set[str]:
    """Return the digests of the config that is restored after an override.

    It is the config that an override of the reviewed version started from.
    """
    if reviewed.config is None:
        return set()
    if not _is_override(reviewed):
        return {live_digest(reviewed.config)}
    _ulid, version, digest = marks.parse_override(reviewed.config.metadata[marks.OVERRIDE])
    return {digest, *(live_digest(one.config) for one in versions if one.version == version and one.config)}
