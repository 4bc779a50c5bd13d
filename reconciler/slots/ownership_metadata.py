"""Compute the metadata that a create or an update sends.

Metadata is part of the config, and an update replaces the whole config: a key that is not sent again is lost (A4). So
every update carries the live metadata forward, including the keys of other tools.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.canonical.digest import digest_of, section_digests
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.revision import Revision

if TYPE_CHECKING:
    from reconciler.model.plan import Change

# Said rather than left out: a server that kept what an update omits would keep the old list.
_NO_KEYS = "-"
_STAMPED_ANEW = {marks.OVERRIDE, marks.KEYS, marks.WANT, marks.COUNTS, marks.FIELDS, marks.PROTECT, marks.TERMS}


def metadata_for_create(
    change: "Change",
    *,
    stack: str,
    attempt: str,
    revision: Revision | None = None,
    carried: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the metadata of a new machine.

    `carried` is the metadata of the machine that it replaces, if any.
    """
    carried = carried or {}
    kept = {key: value for key, value in carried.items() if not marks.is_mark(key) or _outlives(key)}
    kept = _without_undeclared(kept, carried, change.desired)
    return kept | _declared(change.desired) | _marks(change, stack=stack, revision=revision) | {marks.ATTEMPT: attempt}


def metadata_for_update(
    change: "Change", live: Mapping[str, str], *, stack: str, revision: Revision | None = None
) -> dict[str, str]:
    """Return the metadata of an update: live keys, declared keys, and our marks.

    Keys that the spec declared before, and no longer does, are left out.
    """
    # An update drops what it omits: assumption A4.
    kept = {key: value for key, value in live.items() if key not in _STAMPED_ANEW}
    kept = _without_undeclared(kept, live, change.desired)
    return kept | _declared(change.desired) | _marks(change, stack=stack, revision=revision)


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


def _marks(change: "Change", *, stack: str, revision: Revision | None) -> dict[str, str]:
    desired = change.desired
    assert desired is not None, "only a change that sends a config is stamped"
    digest = change.desired_digest or digest_of(desired)
    stamped = {
        marks.STACK: stack,
        marks.POOL: change.slot.pool,
        marks.KIND: change.kind.value,
        marks.SLOT: change.slot.name,
        marks.APPLIED: digest,
        marks.FIELDS: section_digests(desired),
        marks.KEYS: ",".join(sorted(desired.metadata)) or _NO_KEYS,
    }
    if revision:
        stamped[marks.REVISION] = str(revision)
    if change.is_protected:
        stamped[marks.PROTECT] = "yes"
    if change.anchor:
        stamped[marks.ANCHOR] = change.anchor
    if change.anchor == change.slot.name:
        stamped[marks.TERMS] = change.terms or ""
        stamped[marks.COUNTS] = change.counts or ""
        want = marks.Want(digest, str(revision) if revision else None, change.image_digest)
        stamped[marks.WANT] = want.to_text()
    return {key: value for key, value in stamped.items() if value}
