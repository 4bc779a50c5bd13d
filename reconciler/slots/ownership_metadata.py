"""Compute the metadata that a create or an update sends.

Metadata is part of the config, and an update replaces the whole config: a key that is not sent again is lost (A4). So
every update carries the live metadata forward, including the keys of other tools.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.canonical.digest import section_digests
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.plan_notes import is_note
from reconciler.model.revision import Revision

if TYPE_CHECKING:
    from reconciler.model.desired import DesiredMachine

# Said rather than left out: a server that kept what an update omits would keep the old list.
_NO_KEYS = "-"
_STAMPED_ANEW = {
    *(marks.OVERRIDE, marks.KEYS, marks.WANT, marks.COUNTS, marks.FIELDS, marks.PROTECT, marks.TERMS, marks.GONE)
}


def metadata_for_create(
    desired: "DesiredMachine",
    *,
    stack: str,
    attempt: str,
    revision: Revision | None = None,
    carried: Mapping[str, str] | None = None,
    noted: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the metadata of a new machine.

    `carried` is the metadata of the machine that it replaces, if any; `noted` are the notes of the plan.
    """
    carried = carried or {}
    kept = {key: value for key, value in carried.items() if not marks.is_mark(key) or _outlives(key)}
    kept = _without_undeclared(kept, carried, desired.config)
    own = _marks(desired, stack=stack, revision=revision) | {marks.ATTEMPT: attempt}
    return kept | _declared(desired.config) | own | dict(noted or {})


def metadata_for_update(
    desired: "DesiredMachine",
    live: Mapping[str, str],
    *,
    stack: str,
    revision: Revision | None = None,
    noted: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the metadata of an update: live keys, declared keys, and our marks.

    Keys that the spec declared before, and no longer does, are left out. `noted` are the notes of the plan, which
    replace those of another one; without them notes stay.
    """
    # An update drops what it omits: assumption A4.
    kept = {key: value for key, value in live.items() if key not in _STAMPED_ANEW and not (noted and is_note(key))}
    kept = _without_undeclared(kept, live, desired.config)
    return kept | _declared(desired.config) | _marks(desired, stack=stack, revision=revision) | dict(noted or {})


def _outlives(key: str) -> bool:
    """Return whether the mark belongs to the pool or the stack, not to the machine."""
    return key in {marks.HIGHEST, marks.LAST_PLAN} or key.startswith((marks.KEY, marks.FINGERPRINTS, marks.ENDS))


def _declared(config: MachineConfig | None) -> dict[str, str]:
    return dict(config.metadata) if config else {}


def _without_undeclared(
    kept: dict[str, str], before: Mapping[str, str], config: MachineConfig | None
) -> dict[str, str]:
    declared_before = set(before.get(marks.KEYS, "").split(","))
    dropped = declared_before - set(_declared(config))
    return {key: value for key, value in kept.items() if key not in dropped}


def _marks(desired: "DesiredMachine", *, stack: str, revision: Revision | None) -> dict[str, str]:
    stamped = {
        marks.STACK: stack,
        marks.POOL: desired.slot.pool,
        marks.KIND: desired.kind.value,
        marks.SLOT: desired.slot.name,
        marks.APPLIED: desired.digest,
        marks.FIELDS: section_digests(desired.config),
        marks.KEYS: ",".join(sorted(desired.config.metadata)) or _NO_KEYS,
    }
    if revision:
        stamped[marks.REVISION] = str(revision)
    if desired.is_protected:
        stamped[marks.PROTECT] = "yes"
    if desired.anchor:
        stamped[marks.ANCHOR] = desired.anchor
    if desired.anchor == desired.slot.name:
        stamped[marks.TERMS] = desired.run_policy or ""
        stamped[marks.COUNTS] = desired.counts or ""
        want = marks.Want(desired.digest, str(revision) if revision else None, desired.image_digest)
        stamped[marks.WANT] = want.to_text()
    return {key: value for key, value in stamped.items() if value}
