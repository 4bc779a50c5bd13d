"""Decide whether a machine was changed and changed back since its review.

A run with its own args or variables makes two versions: the override, and the one that restores the config. That is no
such change (docs/explanation/protocols.md, section 4).
"""

from collections.abc import Sequence
from typing import Final

from reconciler.canonical.digest import digest_of, live_digest
from reconciler.errors import ApiError
from reconciler.model import marks
from reconciler.model.machine import MachineRef, MachineVersion
from reconciler.model.plan_notes import is_note
from reconciler.slots.context import Context

_EVENTS: Final = 50
CHANGED_BACK = "changed, and changed back, since it was reviewed"


async def was_changed_back(
    context: Context, machine: MachineRef, *, reviewed: str, live: str, plan: str | None = None
) -> str | None:
    """Say why a machine with the reviewed config is not the reviewed one, else None.

    `plan` is what notes call the plan that was reviewed. This makes one call if the version differs, and another one if
    an update of that plan may have been reverted. If the versions cannot be read, this counts as a change.
    """
    if reviewed == live:
        return None
    try:
        versions = await context.client.list_versions(machine.app, machine.id)
        if are_overrides(versions, reviewed=reviewed, live=live):
            return None
        if plan is None or not any(_is_of_plan(one, plan) for one in versions):
            return CHANGED_BACK
        events = await context.client.list_events(machine.app, machine.id, limit=_EVENTS)
    except ApiError as error:
        return f"its version is not the reviewed one, and the versions between them cannot be read: {error.message}"
    reverts = sum(event.type == "revert" for event in events)
    is_fine = are_overrides(versions, reviewed=reviewed, live=live, plan=plan, reverts=reverts)
    return None if is_fine else CHANGED_BACK


def are_overrides(
    versions: Sequence[MachineVersion], *, reviewed: str, live: str, plan: str | None = None, reverts: int = 0
) -> bool:
    """Return whether only overrides of runs were made since the reviewed version.

    Each override is followed by the version that restores the config. So is an update of the plan of this name, if the
    platform took it back, which it did `reverts` times. `versions` are in the server's order, newest or oldest first. A
    version that is not retained is unknown: then the answer is False.
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
        is_back = live_digest(one.config) in base
        is_reverted = is_back and plan is not None and _is_of_plan(before, plan)
        reverts -= is_reverted
        is_own = plan is not None and _is_of_plan(one, plan)
        is_restored = _is_override(before) and is_back
        if not (_is_override(one) or is_restored or is_own or (is_reverted and reverts >= 0)):
            return False
        before = one
    return True


def _is_of_plan(version: MachineVersion, plan: str) -> bool:
    """Return whether an update of this plan made the version.

    What someone else changed after it has the notes too, but another config than was applied.
    """
    config = version.config
    if config is None or digest_of(config) != config.metadata.get(marks.APPLIED):
        return False
    return any(is_note(key) and value.startswith(f"{plan};") for key, value in config.metadata.items())


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
