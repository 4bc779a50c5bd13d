"""Find what two pools of a spec cannot both have: a machine's name, a volume.

A volume has one machine at a time, so a spec cannot mount it more than once.
"""

from collections.abc import Iterable
from typing import Final

from reconciler.model.spec import App, Pool, Slot
from reconciler.spec.diagnostics import Findings

_MAX_NAME: Final = 63


def check_machine_names(app: App, findings: Findings) -> None:
    """Add a finding for each pool with a name that is too long, or given twice."""
    holders: dict[str, Slot] = {}
    places = {name: place for pool in app.pools for name, place in pool.name_places.items()}
    for pool in app.pools:
        for slot in pool.slots:
            holder = holders.setdefault(slot.name, slot)
            problem = _problem_of_name(slot, holder)
            if problem and pool.place:
                hint = _hint_for_names(slot, holder) if slot.name in places else None
                findings.add_at(places.get(slot.name, pool.place), problem, hint=hint)
                break


def _problem_of_name(slot: Slot, holder: Slot) -> str | None:
    """Return what is wrong with the slot's name, which `holder` had first."""
    if len(slot.name) > _MAX_NAME:
        return f"machine name {slot.name!r} is longer than {_MAX_NAME} characters"
    if holder.pool != slot.pool:
        return f"pools {holder.pool!r} and {slot.pool!r} both have a machine {slot.name!r}"
    if holder != slot and not (slot.given and holder.given):  # such a pair was found where `slots` was read
        return f"two slots of pool {slot.pool!r} have the name {slot.name!r}"
    return None


def _hint_for_names(slot: Slot, holder: Slot) -> str:
    if slot.given and holder.given:
        return "a name is unique in its app: remove one of them"
    return "a slot without a name in `slots` is called POOL-REGION-N"


def check_volumes(apps: Iterable[App], findings: Findings) -> None:
    """Add a finding for each pool with a volume that several machines would need."""
    mounting: dict[str, Pool] = {}
    for pool in (pool for app in apps for pool in app.pools):
        machines = sum(pool.counts.values())
        for volume in sorted(pool.config.volumes) if machines else ():
            other = mounting.setdefault(volume, pool)
            if other is not pool:
                _add(pool, f"pool {pool.name!r} mounts volume {volume}, and so does {_named(other, pool)}", findings)
            elif machines > 1:
                _add(pool, f"{machines} machines of pool {pool.name!r} mount volume {volume}", findings)


def _add(pool: Pool, problem: str, findings: Findings) -> None:
    if pool.place:
        hint = "a volume has one machine at a time: declare a pool with `count: 1` for each volume"
        findings.add_at(pool.place, problem, hint=hint)


def _named(other: Pool, pool: Pool) -> str:
    return f"pool {other.name!r}" if other.app == pool.app else f"pool {other.name!r} of app {other.app!r}"
